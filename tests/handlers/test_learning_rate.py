"""Early end and plateau schedule on a validator that is a table of scores."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from dermaseg_monai.handlers import EarlyStop, LearningRate
from dermaseg_monai.utils.errors import InputError


class Validator:
    """Gives one score after another, and keeps the best as MONAI's evaluator does."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.state = SimpleNamespace(
            metrics={}, key_metric_name="score", best_metric=-1.0, best_metric_epoch=-1
        )

    def __call__(self, engine: Engine) -> None:
        score = self.scores[engine.state.epoch - 1]
        self.state.metrics = {"score": score}
        if score > self.state.best_metric:
            self.state.best_metric, self.state.best_metric_epoch = score, engine.state.epoch


def _trained(validator: Validator, *handlers: object, epochs: int = 6, start: int = 0) -> Engine:
    trainer = Engine(lambda engine, batch: None)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, validator)
    for handler in handlers:
        handler.attach(trainer)  # type: ignore[attr-defined]

    def resume(engine: Engine) -> None:
        engine.state.epoch = engine.state.iteration = start

    trainer.add_event_handler(Events.STARTED, resume)
    trainer.run([0], max_epochs=epochs)
    return trainer


def test_training_ends_once_patience_does() -> None:
    validator = Validator(0.1, 0.3, 0.2, 0.3, 0.4, 0.5)
    state = _trained(validator, EarlyStop(2, validator)).state
    assert (state.epoch, state.max_epochs) == (4, 4)


def test_rising_scores_end_nothing() -> None:
    validator = Validator(0.1, 0.1, 0.3, 0.3, 0.4, 0.5)
    assert _trained(validator, EarlyStop(2, validator)).state.epoch == 6


def test_resumed_training_stops_where_the_other_did() -> None:
    validator = Validator(0.1, 0.3, 0.2, 0.3, 0.4, 0.5)
    validator.state.best_metric, validator.state.best_metric_epoch = 0.3, 2
    assert _trained(validator, EarlyStop(2, validator), start=3).state.epoch == 4


def test_patience_must_be_positive() -> None:
    with pytest.raises(InputError, match="patience is 0"):
        EarlyStop(0, Validator())


def test_plateau_lowers_the_rate_where_scores_stand_still() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=1)
    validator = Validator(0.1, 0.2, 0.2, 0.2, 0.2, 0.2)
    _trained(validator, LearningRate(schedule, validator))
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_other_schedules_are_not_told_the_score() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    validator = Validator(*[0.1] * 6)
    _trained(validator, LearningRate(schedule, validator))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)


def test_plateau_without_validation() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max")
    blind = SimpleNamespace(state=SimpleNamespace(metrics={}, key_metric_name="score"))
    with pytest.raises(InputError, match="val_interval 1"):
        _trained(Validator(*[0.1] * 6), LearningRate(schedule, blind))

"""What a training records of its epochs."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events

from dermaseg_monai.handlers import ResumableCheckpoint, StepEvents, TrainingLog
from dermaseg_monai.handlers.training_log import _duration
from dermaseg_monai.utils.errors import InputError


class Training:
    """A training whose losses are given, validated every ``interval`` epochs."""

    def __init__(self, folder: Path, losses: list[list[float]], interval: int = 1) -> None:
        self.losses = losses
        network = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.8)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        self.validator = SimpleNamespace(
            network=network,
            state=SimpleNamespace(epoch=0, metrics={}, best_metric=-1, best_metric_epoch=-1),
        )
        self.engine = Engine(self.step)
        self.engine.register_events(*StepEvents)
        self.engine.grad_scaler = torch.amp.GradScaler("cpu", enabled=False)
        self.engine.state.device = torch.device("cpu")
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: scheduler.step())
        self.engine.add_event_handler(Events.EPOCH_COMPLETED(every=interval), self.validate)
        TrainingLog(folder / "out", optimizer, self.validator).attach(self.engine)
        ResumableCheckpoint(folder / "models", self.validator, {"network": network}).attach(self.engine)

    def step(self, engine: Engine, loss: float) -> dict[str, torch.Tensor]:
        engine.fire_event(StepEvents.WEIGHTS_UPDATED)
        return {"loss": torch.tensor(loss)}

    def validate(self, engine: Engine) -> None:
        state = self.validator.state
        state.epoch, state.metrics = engine.state.epoch, {"threshold_jaccard": 0.1 * engine.state.epoch}
        state.best_metric, state.best_metric_epoch = state.metrics["threshold_jaccard"], engine.state.epoch
        engine.state.metrics["dice"] = 0.5

    def run(self) -> None:
        def batches():
            while True:
                yield from self.losses[self.engine.state.epoch - 1]

        self.engine.run(batches(), max_epochs=len(self.losses), epoch_length=len(self.losses[0]))


def test_history_has_a_row_per_epoch(tmp_path, caplog) -> None:
    with caplog.at_level(logging.INFO):
        Training(tmp_path, [[1.0, 2.0], [0.5, 0.7], [0.25, 0.25]], interval=2).run()
    table = pd.read_csv(tmp_path / "out" / "history.csv")
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["loss"].tolist() == pytest.approx([1.5, 0.6, 0.25])
    assert table["learning_rate"].tolist() == pytest.approx([0.8, 0.4, 0.2])  # the rate each epoch ran with
    assert table["val_threshold_jaccard"].round(6).fillna(-1).tolist() == [-1, 0.2, -1]
    assert table["train_dice"].fillna(-1).tolist() == [-1, 0.5, 0.5]
    assert (table["seconds"] >= 0).all()
    assert "epoch 2/3: loss 0.6000, validation threshold jaccard 0.2000" in caplog.text
    assert "epoch 3/3: loss 0.2500, 0.0 s, 0 s left" in caplog.text
    assert list((tmp_path / "out" / "tensorboard").iterdir())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_lost_training_ends_and_keeps_its_last_good_state(tmp_path, bad) -> None:
    with pytest.raises(
        InputError, match=r"the training loss became (nan|inf) in epoch 3, iteration 2 of 2; .*--amp False"
    ):
        Training(tmp_path, [[1.0, 1.0], [1.0, 1.0], [1.0, bad], [1.0, 1.0]]).run()
    stored = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    assert stored["epoch"] == 2
    assert stored["best_metric_epoch"] == 2
    assert [row["epoch"] for row in stored["history"]] == [1, 2]
    assert len(pd.read_csv(tmp_path / "out" / "history.csv")) == 2
    healed = Training(tmp_path, [[9.0, 9.0], [9.0, 9.0], [3.0, 3.0], [4.0, 4.0]])
    healed.run()
    assert pd.read_csv(tmp_path / "out" / "history.csv")["loss"].tolist() == [1, 1, 3, 4]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3_720, "1 h 02 min")]
)
def test_duration(seconds, text) -> None:
    assert _duration(seconds) == text

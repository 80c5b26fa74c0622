"""Best weights are those of the best key metric; a stopped training goes on where it was."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from dermaseg_monai.handlers import ResumableCheckpoint
from dermaseg_monai.losses import DiceLoss
from dermaseg_monai.utils.errors import InputError

SCORES = [0.2, 0.7, 0.5, 0.7, 0.1]


class Training:
    """Five epochs in which the network's one weight counts the steps and the validator sees ``SCORES``."""

    def __init__(
        self,
        folder: Path,
        resume: bool = True,
        features: int = 1,
        validated: Any = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.network = torch.nn.Linear(1, features)
        torch.nn.init.zeros_(self.network.weight)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1.0, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.5)
        self.validator = SimpleNamespace(
            network=validated or self.network, state=SimpleNamespace(best_metric=-1, best_metric_epoch=-1)
        )
        self.engine = Engine(self.step)
        self.engine.state.device = torch.device("cpu")
        self.engine.grad_scaler = torch.amp.GradScaler("cpu", enabled=False)
        self.engine.add_event_handler(Events.STARTED, self.start)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, self.end_epoch)
        state = {
            "network": self.network,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "average": None,
        }
        ResumableCheckpoint(folder, self.validator, state, resume, settings).attach(self.engine)
        self.stop_in: int | None = None
        self.epochs: list[int] = []

    def start(self, engine: Engine) -> None:
        engine.state.history = []

    def step(self, engine: Engine, batch: Any) -> None:
        if engine.state.epoch == self.stop_in:
            raise KeyboardInterrupt
        self.optimizer.zero_grad()
        self.network(torch.ones(1, 1)).sum().backward()
        self.optimizer.step()

    def end_epoch(self, engine: Engine) -> None:
        self.scheduler.step()
        epoch, score = engine.state.epoch, SCORES[engine.state.epoch - 1]
        self.epochs.append(epoch)
        if score > self.validator.state.best_metric:
            self.validator.state.best_metric, self.validator.state.best_metric_epoch = score, epoch
        engine.state.history.append({"epoch": epoch, "score": score})

    def run(self, stop_in: int | None = None, epochs: int = len(SCORES)) -> Training:
        self.stop_in = stop_in
        try:
            self.engine.run([0, 1, 2], max_epochs=epochs)
        except KeyboardInterrupt:
            assert stop_in is not None
        return self


def weight(path: Path) -> float:
    return torch.load(path, weights_only=True)["weight"].item()


def test_the_first_best_weights_are_kept(tmp_path) -> None:
    Training(tmp_path / "whole").run()
    assert os.listdir(tmp_path / "whole") == ["model.pt"]  # last.pt is gone once the training is complete
    second = Training(tmp_path / "two").run(stop_in=3)
    assert weight(tmp_path / "whole" / "model.pt") == second.network.weight.item()


@pytest.mark.parametrize("stop_in", [2, 3, 5])
def test_resuming_ends_where_the_whole_run_ends(tmp_path, stop_in) -> None:
    whole = Training(tmp_path / "whole").run()
    Training(tmp_path / "parts").run(stop_in)
    assert sorted(os.listdir(tmp_path / "parts")) == ["last.pt", "model.pt"]
    rest = Training(tmp_path / "parts").run()
    assert rest.epochs == list(range(stop_in, 6))
    assert rest.network.weight.item() == whole.network.weight.item()
    assert rest.scheduler.get_last_lr() == whole.scheduler.get_last_lr()
    assert rest.engine.state.iteration == whole.engine.state.iteration == 15
    assert rest.engine.state.history == whole.engine.state.history
    assert rest.validator.state == whole.validator.state
    assert weight(tmp_path / "parts" / "model.pt") == weight(tmp_path / "whole" / "model.pt")
    assert os.listdir(tmp_path / "parts") == ["model.pt"]


def test_stopped_after_the_last_epoch_nothing_is_trained_again(tmp_path) -> None:
    first = Training(tmp_path)
    first.engine.add_event_handler(Events.EPOCH_COMPLETED(once=5), lambda: first.engine.terminate())
    first.engine.remove_event_handler(first.engine._event_handlers[Events.COMPLETED][0][0], Events.COMPLETED)
    first.run()
    assert (tmp_path / "last.pt").is_file()
    again = Training(tmp_path).run()
    assert again.epochs == []
    assert len(again.engine.state.history) == 5
    assert os.listdir(tmp_path) == ["model.pt"]


def test_without_resume_it_starts_afresh(tmp_path) -> None:
    Training(tmp_path).run(stop_in=4)
    assert Training(tmp_path, resume=False).run().epochs == [1, 2, 3, 4, 5]


def test_resume_as_a_word(tmp_path) -> None:
    # MONAI's command line gives "false" as text, which would count as true
    Training(tmp_path).run(stop_in=4)
    assert Training(tmp_path, resume="false").run().epochs == [1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="was given as 'perhaps'; write true or false"):
        Training(tmp_path, resume="perhaps")


def test_the_validated_network_is_saved(tmp_path) -> None:
    averaged = torch.nn.Linear(1, 1)
    Training(tmp_path, validated=averaged).run()
    assert weight(tmp_path / "model.pt") == averaged.weight.item()


def test_another_networks_state_is_one_sentence(tmp_path) -> None:
    Training(tmp_path).run(stop_in=3)
    with pytest.raises(InputError, match=r"last\.pt does not fit this training \(.*--resume False") as caught:
        Training(tmp_path, features=2).run()
    assert "\n" not in str(caught.value)


SETTINGS = {
    "learning_rate": 0.1,
    "batch_size": 4,
    "max_epochs": 5,
    "loss": DiceLoss("binary"),
    "augment": {"flip": True, "rotate": 180, "scale": [0.85, 1.2], "shift": 0.1},
    "lr_scheduler": {"T_max": 5},
}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 0.01}, "learning_rate (now 0.01, then 0.1)"),
        (
            {"batch_size": 8, "learning_rate": 1},
            "batch_size (now 8, then 4), learning_rate (now 1, then 0.1)",
        ),
        ({"loss": DiceLoss("two_class")}, "loss"),
        ({"augment": {**SETTINGS["augment"], "rotate": 90}}, "augment"),
        (
            {"max_epochs": 9, "lr_scheduler": {"T_max": 9}},
            'lr_scheduler (now {"T_max": 9}, then {"T_max": 5}), max',
        ),
        ({"dataset_dir": ["a"]}, "dataset_dir"),
    ],
)
def test_other_settings_are_named(tmp_path, changes, named) -> None:
    Training(tmp_path, settings=SETTINGS).run(stop_in=3)
    Training(tmp_path, settings={**SETTINGS, "loss": DiceLoss("binary")}).run(stop_in=4)
    with pytest.raises(InputError) as caught:
        Training(tmp_path, settings={**SETTINGS, **changes}).run()
    assert f"last.pt is of a training with another {named}" in str(caught.value)
    assert str(caught.value).endswith("pass --resume False or another --ckpt_dir to start afresh.")
    afresh = Training(tmp_path, resume=False, settings={**SETTINGS, **changes}).run()
    assert afresh.epochs == [1, 2, 3, 4, 5]


def test_more_epochs_of_a_schedule_that_does_not_count_them(tmp_path) -> None:
    Training(tmp_path, settings={**SETTINGS, "max_epochs": 4}).run(stop_in=3, epochs=4)
    assert Training(tmp_path, settings=SETTINGS).run().epochs == [3, 4, 5]


def test_an_early_stop_that_was_killed_before_its_end_is_not_trained_on(tmp_path) -> None:
    stopped = Training(tmp_path)
    stopped.engine.add_event_handler(Events.EPOCH_COMPLETED(once=3), lambda: stop(stopped.engine))
    # as early stopping does it: before the state is written
    handlers = stopped.engine._event_handlers[Events.EPOCH_COMPLETED]
    handlers.insert(0, handlers.pop())

    def stop(engine: Engine) -> None:
        engine.state.max_epochs = 3

    def kill(engine: Engine) -> None:
        raise KeyboardInterrupt

    stopped.engine.add_event_handler(Events.COMPLETED, kill)
    ends = stopped.engine._event_handlers[Events.COMPLETED]
    ends.insert(0, ends.pop())
    stopped.run(stop_in=9)
    assert stopped.epochs == [1, 2, 3]
    assert (tmp_path / "last.pt").is_file()
    assert Training(tmp_path).run().epochs == []
    assert os.listdir(tmp_path) == ["model.pt"]


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_an_unreadable_state_is_one_sentence(tmp_path, content) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"last\.pt does not fit this training \(.*--resume False") as caught:
        Training(tmp_path).run()
    assert "\n" not in str(caught.value)


def test_a_state_of_other_things_is_one_sentence(tmp_path) -> None:
    torch.save({"state": {}}, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt does not fit"):
        Training(tmp_path).run()

"""Float16 with a gradient scaler, on the CPU: scaled, unscaled before clipping, left out where it overflows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from ignite.engine import Events

import dermaseg_monai.engines.trainer as module
from dermaseg_monai.engines import Trainer
from dermaseg_monai.handlers import (
    LearningRate,
    ResumableCheckpoint,
    TrainingLog,
    UpdateAverage,
    WeightAverage,
)
from dermaseg_monai.optimizers import OneCycle
from tests.disc_dataset import write_dataset
from tests.engines.test_trainer import batches, loss, network
from tests.trainings import TINY_UNET, train

START = 65536.0
BAD = 3  # the batch whose loss is beyond float16


def exploding(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The loss of all batches but one, whose gradients overflow while it is finite itself."""
    value = loss(prediction.float(), label)
    return value * torch.where(label.sum() == batches()[BAD]["label"].sum(), 1e4, 1.0)


def plain_loop(clip_norm: float | None = None, loss_function: Any = loss) -> tuple[torch.nn.Module, float]:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    scaler = torch.amp.GradScaler("cpu")
    for _ in range(2):
        for batch in batches():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                value = loss_function(model(batch["image"]), batch["label"])
            scaler.scale(value).backward()
            scaler.unscale_(optimizer)
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            scaler.step(optimizer)
            scaler.update()
    return model, scaler.get_scale()


class Training:
    """A training with everything that counts steps."""

    def __init__(self, folder: Path, loss_function: Any = loss, epochs: int = 2, **settings: Any) -> None:
        self.network = network()
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.01)
        self.schedule = OneCycle(optimizer, total_steps=10) if settings.pop("schedule", False) else None
        self.average = WeightAverage(self.network)
        validator = SimpleNamespace(
            network=self.network,
            state=SimpleNamespace(best_metric=0, best_metric_epoch=1, epoch=0, metrics={}),
        )
        state = {"network": self.network, "optimizer": optimizer, "average": self.average}
        handlers = [
            UpdateAverage(self.average),
            *([LearningRate(self.schedule, validator, epoch_level=False)] if self.schedule else []),
            TrainingLog(folder, optimizer, validator),
            ResumableCheckpoint(folder, validator, state),
        ]
        self.trainer = Trainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=batches(),
            network=self.network,
            optimizer=optimizer,
            loss_function=loss_function,
            train_handlers=handlers,
            **{"amp": "float16", **settings},
        )

    def run(self) -> Training:
        self.trainer.run()
        return self


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("loss_function", [loss, exploding])
def test_a_training_equals_a_plain_loop_bit_for_bit(
    clip_norm: float | None, loss_function: Any, tmp_path: Path
) -> None:
    trained = Training(tmp_path, loss_function, clip_norm=clip_norm).run()
    expected, scale = plain_loop(clip_norm, loss_function)
    for name, value in expected.state_dict().items():
        assert torch.equal(trained.network.state_dict()[name], value), name
    assert trained.trainer.grad_scaler.get_scale() == scale == (START if loss_function is loss else START / 4)


def test_gradients_are_clipped_at_their_own_size(tmp_path: Path) -> None:
    """Scaled ones are thousands of times larger: a norm that they seldom reach would then cut them all."""
    free, clipped = (
        Training(tmp_path / str(norm), clip_norm=norm).run().network.state_dict() for norm in (None, 100.0)
    )
    for name, value in free.items():
        assert torch.allclose(clipped[name], value, atol=1e-7), name


def test_what_overflows_is_left_out_by_all_that_counts_steps(tmp_path: Path) -> None:
    training = Training(tmp_path, exploding, schedule=True)
    weights, rates = [], []
    training.trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda: (
            weights.append([value.clone() for value in training.network.parameters()]),
            rates.append(training.schedule.get_last_lr()[0]),
        ),
    )
    training.run()
    for before, after in ((BAD - 1, BAD), (BAD + 4, BAD + 5)):
        assert all(torch.equal(old, new) for old, new in zip(weights[before], weights[after], strict=True))
        assert rates[before] == rates[after]
    assert len(set(rates)) == 8
    assert training.average.averaged.n_averaged == 8
    assert pd.read_csv(tmp_path / "history.csv")["skipped_steps"].tolist() == [1, 1]


def test_without_float16_nothing_is_scaled(tmp_path: Path) -> None:
    for amp in (False, "bfloat16"):
        training = Training(tmp_path / str(amp), exploding, amp=amp).run()
        assert not training.trainer.grad_scaler.is_enabled()
        assert training.average.averaged.n_averaged == 10
        assert "skipped_steps" not in pd.read_csv(tmp_path / str(amp) / "history.csv")


@pytest.mark.parametrize("then", ["float16", False])
def test_the_scale_is_resumed(then: Any, tmp_path: Path) -> None:
    stopped = Training(tmp_path, exploding, epochs=3)
    stopped.trainer.add_event_handler(Events.EPOCH_STARTED(once=2), stopped.trainer.terminate)
    stopped.run()
    assert (tmp_path / "last.pt").is_file()
    resumed = Training(tmp_path, amp=then, epochs=3)
    scales: list[float] = []
    resumed.trainer.add_event_handler(
        Events.EPOCH_STARTED, lambda: scales.append(resumed.trainer.grad_scaler.get_scale())
    )
    resumed.run()
    assert scales[-1] == (START / 2 if then else 1)


def test_a_bundle_trains_in_float16(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data")
    workflow = train("lesion_unet", dataset, tmp_path, max_epochs=3, **{**TINY_UNET, "amp": "float16"})
    assert workflow.parser.get_parsed_content("train#trainer").half is torch.float16
    table = pd.read_csv(tmp_path / "output" / "history.csv")
    assert table["loss"].iloc[-1] < table["loss"].iloc[0]
    assert table["skipped_steps"].sum() < 6


@pytest.mark.parametrize(("amp", "graphed"), [("float16", False), ("bfloat16", True), (False, True)])
def test_scaled_steps_are_not_captured(amp: Any, graphed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(module, "GraphedStep", lambda *_: "captured")
    model = network()
    trainer = Trainer(
        device=torch.device("cuda"), max_epochs=1, train_data_loader=batches(), network=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1), loss_function=loss, amp=amp, cuda_graph=True,
    )  # fmt: skip
    assert (trainer.gradients == "captured") is graphed

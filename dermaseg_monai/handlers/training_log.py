"""Log of a training: one line an epoch, a table, TensorBoard curves."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Events
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from dermaseg_monai.handlers.step_events import StepEvents
from dermaseg_monai.utils.distributed import rank
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_path

logger = logging.getLogger(__name__)


class TrainingLog:
    """Ignite handler that records each epoch: loss, first learning rate, validation metrics, time.

    A line is logged, a row added to ``<output_dir>/history.csv`` and a point to the TensorBoard curves in
    ``<output_dir>/tensorboard``; a bar counts the steps where the terminal can show one. The losses are
    kept on the device and read once an epoch. In float16, steps that were left out since their gradients
    overflowed are counted too.

    Args:
        output_dir: folder of what the run writes.
        optimizer: whose learning rate is recorded.
        validator: the evaluator whose metrics are recorded.

    Raises:
        InputError: at the end of the first epoch whose loss is not a finite number.
    """

    def __init__(
        self, output_dir: str | os.PathLike[str], optimizer: torch.optim.Optimizer, validator: Any
    ) -> None:
        self.output_dir = Path(output_dir)
        self.optimizer = optimizer
        self.validator = validator
        self._losses = torch.empty(0)
        self._bar: tqdm | None = None
        self._writer: SummaryWriter | None = None
        self._started = self._epoch_started = self._learning_rate = 0.0
        self._first_epoch = self._updates = 0

    def attach(self, engine: Any) -> None:
        """Register with the trainer, after the validation and before :class:`ResumableCheckpoint`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(StepEvents.WEIGHTS_UPDATED, self._count_update)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _start(self, engine: Any) -> None:
        self._started = time.perf_counter()
        engine.state.history = []

    def _start_epoch(self, engine: Any) -> None:
        if self._writer is None and rank() == 0:
            # made here rather than at the start, when a resumed run does not yet know its epoch
            self._writer = SummaryWriter(self.output_dir / "tensorboard", purge_step=engine.state.epoch)
            self._first_epoch = engine.state.epoch - 1
        self._losses = torch.zeros(engine.state.epoch_length, device=engine.state.device)
        self._updates = 0
        self._epoch_started = time.perf_counter()
        # by the end of the epoch the schedule has moved on to the next one's
        self._learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self._bar = tqdm(
            total=engine.state.epoch_length,
            desc=f"epoch {engine.state.epoch}/{engine.state.max_epochs}",
            unit="step",
            leave=False,
            disable=None if rank() == 0 else True,
        )

    def _count_update(self) -> None:
        self._updates += 1

    def _step(self, engine: Any) -> None:
        self._losses[(engine.state.iteration - 1) % engine.state.epoch_length] = engine.state.output["loss"]
        self._bar.update()  # type: ignore[union-attr]

    def _end_epoch(self, engine: Any) -> None:
        self._bar.close()  # type: ignore[union-attr]
        epoch, epochs = engine.state.epoch, engine.state.max_epochs
        losses = self._losses.cpu()
        bad = (~losses.isfinite()).nonzero()[:, 0].tolist()
        if bad:
            raise InputError(
                f"the training loss became {losses[bad[0]].item()} in epoch {epoch}, iteration {bad[0] + 1} of "
                f"{len(losses)}; run again in float32 (--amp False) to go on after the last good epoch, or start "
                "afresh (--resume False) with a lower learning rate."
            )
        now = time.perf_counter()
        row: dict[str, float] = {
            "epoch": epoch,
            "loss": losses.mean().item(),
            "learning_rate": self._learning_rate,
            "seconds": now - self._epoch_started,
        }
        skipped = engine.state.epoch_length - self._updates
        if engine.grad_scaler.is_enabled():
            row["skipped_steps"] = skipped
        row |= {f"train_{name}": float(value) for name, value in engine.state.metrics.items()}
        if self.validator.state.epoch == epoch:
            row |= {f"val_{name}": float(value) for name, value in self.validator.state.metrics.items()}
        engine.state.history.append(row)
        if rank() != 0:
            return
        left = (now - self._started) / (epoch - self._first_epoch) * (epochs - epoch)
        metrics = ", ".join(
            f"{name[4:].replace('_', ' ')} {row[name]:.4f}" for name in row if name.startswith("val_")
        )
        logger.info(
            "epoch %d/%d: loss %.4f%s%s, %.1f s, %s left",
            epoch,
            epochs,
            row["loss"],
            f", {skipped} steps skipped" if skipped else "",
            f", validation {metrics}" if metrics else "",
            row["seconds"],
            _duration(left),
        )
        with atomic_path(self.output_dir / "history.csv") as temporary:
            pd.DataFrame(engine.state.history).to_csv(temporary, index=False, float_format="%.6g")
        for name, value in row.items():
            self._writer.add_scalar(name, value, epoch)  # type: ignore[union-attr]
        self._writer.flush()  # type: ignore[union-attr]

    def _end(self, engine: Any) -> None:
        if self._writer is not None:
            self._writer.close()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min"
        if hours
        else f"{minutes} min {seconds:02d} s"
        if minutes
        else f"{seconds} s"
    )

"""Learning-rate schedules as a handler."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events
from monai.handlers import LrScheduleHandler
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR, ReduceLROnPlateau

from dermaseg_monai.handlers.step_events import StepEvents
from dermaseg_monai.utils.errors import InputError


class LearningRate(LrScheduleHandler):
    """MONAI's handler of a learning-rate schedule, with schedules that need the validation's key metric.

    Args:
        lr_scheduler: any of PyTorch's; ``ReduceLROnPlateau`` (with ``mode="max"``) is told the key metric.
        validator: the evaluator whose key metric counts.
        epoch_level: step after each epoch, or else after each step that the optimiser took; None asks the schedule:
            one-cycle and cyclic schedules count steps, all others epochs.
    """

    def __init__(self, lr_scheduler: Any, validator: Any, epoch_level: bool | None = None) -> None:
        if epoch_level is None:
            epoch_level = not isinstance(lr_scheduler, (OneCycleLR, CyclicLR))
        plateau = isinstance(lr_scheduler, ReduceLROnPlateau)
        super().__init__(
            lr_scheduler,
            print_lr=False,
            epoch_level=epoch_level,
            step_transform=lambda _: (_key_metric(validator),) if plateau else (),
        )

    def attach(self, engine: Any) -> None:
        """Register with a :class:`dermaseg_monai.engines.Trainer`, after the validation."""
        engine.add_event_handler(
            Events.EPOCH_COMPLETED if self.epoch_level else StepEvents.WEIGHTS_UPDATED, self
        )


def _key_metric(validator: Any) -> float:
    state = validator.state
    if state.key_metric_name not in state.metrics:
        raise InputError("the plateau schedule follows the validation of every epoch; set --val_interval 1.")
    return float(state.metrics[state.key_metric_name])

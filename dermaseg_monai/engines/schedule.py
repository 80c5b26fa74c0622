"""Learning-rate schedules and an early end of the training."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Events
from monai.handlers import LrScheduleHandler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from dermaseg_monai.engines.events import StepEvents
from dermaseg_monai.errors import InputError

logger = logging.getLogger(__name__)


class OneCycle(OneCycleLR):
    """PyTorch's one-cycle schedule for any optimiser, up to each parameter group's own learning rate.

    The momentum (``beta1`` of Adam and its kin) cycles where the optimiser has one.

    Args:
        optimizer: its groups' rates are the peaks.
        total_steps: batches of the whole training.
        **kwargs: further arguments of :class:`torch.optim.lr_scheduler.OneCycleLR`.

    Reference: Smith and Topin, "Super-Convergence", 2017, arXiv:1708.07120
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, **kwargs: Any) -> None:
        has_momentum = bool(optimizer.defaults.get("betas") or optimizer.defaults.get("momentum"))
        super().__init__(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total_steps,
            **{"cycle_momentum": has_momentum, **kwargs},
        )


class LearningRate(LrScheduleHandler):
    """MONAI's handler of a learning-rate schedule, with schedules that need the validation's key metric.

    Args:
        lr_scheduler: any of PyTorch's; ``ReduceLROnPlateau`` (with ``mode="max"``) is told the key metric.
        validator: the evaluator whose key metric counts.
        epoch_level: step after each epoch, or else after each step that the optimiser took.
    """

    def __init__(self, lr_scheduler: Any, validator: Any, epoch_level: bool = True) -> None:
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


class EarlyStop:
    """Ignite handler that ends a training once the validation's key metric stops rising.

    Unlike MONAI's EarlyStopHandler it keeps no count of its own but reads the epoch of the best metric, which
    is stored with the training's state: a resumed training stops where the uninterrupted one would have. The
    epoch that reaches the limit becomes the last one, so the training ends as a complete one does.

    Args:
        patience: epochs without a better key metric after which the training ends, at least 1.
        validator: the evaluator whose key metric counts.

    Raises:
        InputError: ``patience`` is not positive.
    """

    def __init__(self, patience: int, validator: Any) -> None:
        if patience < 1:
            raise InputError(
                f"patience is {patience}; give the epochs to wait, or 0 in the config for no end."
            )
        self.patience = patience
        self.validator = validator

    def attach(self, engine: Any) -> None:
        """Register with the trainer, after the validation and before :class:`TrainingState`."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Make this epoch the last one where patience is at its end."""
        best = self.validator.state.best_metric_epoch
        if best < 1 or engine.state.epoch - best < self.patience:
            return
        logger.info(
            "stopping early: validation has not improved for %d epochs, since epoch %d", self.patience, best
        )
        engine.state.max_epochs = engine.state.epoch


def _key_metric(validator: Any) -> float:
    state = validator.state
    if state.key_metric_name not in state.metrics:
        raise InputError("the plateau schedule follows the validation of every epoch; set --val_interval 1.")
    return float(state.metrics[state.key_metric_name])

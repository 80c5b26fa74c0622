"""Early end of a training whose validation has stopped improving."""

from __future__ import annotations

import logging
from typing import Any

from ignite.engine import Events

from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)


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
        """Register with the trainer, after the validation and before :class:`ResumableCheckpoint`."""
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

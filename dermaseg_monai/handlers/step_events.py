"""Events of a training beside MONAI's and Ignite's."""

from __future__ import annotations

from ignite.engine import EventEnum


class StepEvents(EventEnum):
    """Events of a :class:`dermaseg_monai.engines.Trainer`.

    Attributes:
        WEIGHTS_UPDATED: the optimiser took a step. In float16 it leaves out those whose gradients overflowed, and
            so must whatever counts steps.
    """

    WEIGHTS_UPDATED = "weights_updated"

"""Seeding of every epoch by the seed and its number alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from dermaseg_monai.utils.distributed import rank


class EpochSeed:
    """Ignite handler that seeds every generator at the start of each epoch.

    The random state of an epoch is a function of the seed and the epoch's number, so a resumed run continues
    exactly as the run that never stopped, with no generator state to store. Of several processes each draws
    its own. Python, NumPy and PyTorch (dropout, workers of a data loader) are seeded, the random transforms
    of the loader's dataset, and the loader's own order where it has ``set_epoch``.

    Args:
        seed: start of all randomness, 0 to 2**31.
        loader: the training loader.
    """

    def __init__(self, seed: int, loader: Any) -> None:
        self.seed = seed
        self.loader = loader

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        seed = (self.seed * 100_003 + engine.state.epoch + rank() * 1_000_003) % 2**32
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        for owner in (self.loader, getattr(self.loader, "sampler", None)):
            if owner is not None and hasattr(owner, "set_epoch"):
                owner.set_epoch(engine.state.epoch)
        transform = getattr(self.loader.dataset, "transform", None)
        if transform is not None and hasattr(transform, "set_random_state"):
            transform.set_random_state(seed=seed)

"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine
from torch.optim.swa_utils import AveragedModel

from dermaseg_monai.handlers.step_events import StepEvents
from dermaseg_monai.utils.distributed import unwrapped


class WeightAverage:
    """An exponential moving average of a network's weights, kept while it trains by :class:`UpdateAverage`.

    The average starts short and grows to ``decay`` (after ``n`` steps it is the smaller of ``decay`` and
    ``(1 + n) / (10 + n)``), so that early weights leave no trace. Batch-norm statistics are averaged with the
    weights.

    Args:
        network: the network that trains.
        decay: share of the old average in each step, 0 to 1.

    Reference: Polyak and Juditsky 1992; the warm-up is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, network: torch.nn.Module, decay: float = 0.999) -> None:
        def update(averaged: Sequence[torch.Tensor], current: Sequence[torch.Tensor], _: Any) -> None:
            steps = int(self.averaged.n_averaged)  # kept on the CPU: nothing waits for a device
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(
                    list(averaged), list(current), 1 - min(decay, (1 + steps) / (10 + steps))
                )
            else:
                torch._foreach_copy_(list(averaged), list(current))

        self.network = unwrapped(network)
        self.averaged = AveragedModel(self.network, multi_avg_fn=update, use_buffers=True)

    @property
    def module(self) -> torch.nn.Module:
        """The averaged network: what is validated and saved."""
        return self.averaged.module

    def state_dict(self) -> dict:
        """The average and its number of steps."""
        return self.averaged.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.averaged.load_state_dict(state)


class UpdateAverage:
    """Ignite handler that takes the weights of each training step into their average.

    Args:
        average: what is updated.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def attach(self, engine: Engine) -> None:
        """Register with a :class:`dermaseg_monai.engines.Trainer`."""
        engine.add_event_handler(StepEvents.WEIGHTS_UPDATED, self)

    def __call__(self, engine: Engine) -> None:
        """Take in the step that just ended."""
        self.average.averaged.update_parameters(self.average.network)

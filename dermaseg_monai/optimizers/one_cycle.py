"""PyTorch's one-cycle schedule for any optimiser."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR


class OneCycle(OneCycleLR):
    """PyTorch's one-cycle schedule for any optimiser, up to each parameter group's own learning rate.

    The momentum (``beta1`` of Adam and its kin) cycles where the optimiser has one.

    Args:
        optimizer: its groups' rates are the peaks.
        total_steps: batches of the whole training.
        **kwargs: further arguments of :class:`torch.optim.lr_scheduler.OneCycleLR`.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.AdamW(torch.nn.Linear(2, 1).parameters(), lr=0.01)
        >>> schedule = OneCycle(optimizer, total_steps=100)
        >>> round(schedule.get_last_lr()[0], 6)  # a 25th of the peak
        0.0004

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

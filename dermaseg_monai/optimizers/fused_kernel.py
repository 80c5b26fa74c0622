"""The fused kernels of PyTorch's optimisers."""

from __future__ import annotations

from torch.optim import SGD, Adam, AdamW, Optimizer

_FUSED = (Adam, AdamW, SGD)


def use_fused_kernel(optimizer: Optimizer) -> None:
    """Let an optimiser that has a fused kernel update all parameters by it, unless its arguments chose otherwise.

    Adam, AdamW and SGD have one on CPUs and GPUs. Others do not know the argument, or need it when they are built,
    and are left as they are.

    Args:
        optimizer: changed in place, before its first step.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.AdamW(torch.nn.Linear(2, 1).parameters())
        >>> use_fused_kernel(optimizer)
        >>> optimizer.param_groups[0]["fused"]
        True
    """
    if isinstance(optimizer, _FUSED) and optimizer.defaults["fused"] is None is optimizer.defaults["foreach"]:
        for group in optimizer.param_groups:
            group["fused"] = True

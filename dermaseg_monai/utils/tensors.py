"""Tensors with and without the ``meta`` that MONAI carries beside them."""

from __future__ import annotations

import torch
from monai.data import MetaTensor


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without ``meta``, whose bookkeeping would run at every operation; its memory is shared."""
    return tensor if type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor)


def with_meta_of(tensor: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """The tensor with a copy of the ``meta`` of ``source``, where that has one."""
    return MetaTensor(tensor, meta=dict(source.meta)) if isinstance(source, MetaTensor) else tensor

"""Masks to per-image confusion counts, the one thing every overlap metric is made of."""

from __future__ import annotations

import torch

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

COUNT_NAMES = ("tp", "fp", "fn", "tn")
"""What the last dimension of a counts tensor holds, in order."""


def confusion_counts(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Count true and false positives and negatives per image and channel.

    Runs on the device of its arguments and never waits for it.

    Args:
        prediction: masks ``(B, C, H, W)``: bool, or 0/1 of any real dtype. Integers above 0 and floats above
            0.5 are foreground, so 0/255 works too; NaN is background.
        target: masks of the same shape, on the same device, read in the same way.

    Returns:
        ``(B, C, 4)`` int64 in the order of ``COUNT_NAMES``: tp, fp, fn, tn. The four add up to ``H * W``.

    Raises:
        InputError: a shape, dtype or device does not fit.

    Example:
        >>> prediction = torch.tensor([[[[1, 1, 0, 0]]]])
        >>> target = torch.tensor([[[[1, 0, 0, 1]]]])
        >>> confusion_counts(prediction, target)  # true and false positives, false and true negatives
        tensor([[[1, 1, 1, 1]]])
    """
    prediction, target = _foreground(prediction, "prediction"), _foreground(target, "target")
    if prediction.shape != target.shape:
        raise InputError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape; bring "
            "the prediction to the size and channels of the target before counting."
        )
    if prediction.device != target.device:
        raise InputError(
            f"prediction is on {prediction.device} and target on {target.device}; move both to one device."
        )
    pixels = prediction.shape[-2] * prediction.shape[-1]
    tp = (prediction & target).sum(dim=(-2, -1))
    predicted = prediction.sum(dim=(-2, -1))
    true = target.sum(dim=(-2, -1))
    return torch.stack([tp, predicted - tp, true - tp, pixels - predicted - true + tp], dim=-1)


def _foreground(mask: torch.Tensor, name: str) -> torch.Tensor:
    if not isinstance(mask, torch.Tensor):
        raise InputError(f"{name} is a {type(mask).__name__}; give a tensor (B, C, H, W).")
    if mask.ndim != 4 or 0 in mask.shape[1:]:
        raise InputError(f"{name} has shape {tuple(mask.shape)}; give non-empty (B, C, H, W) masks.")
    if mask.is_complex():
        raise InputError(f"{name} has dtype {mask.dtype}; give bool or 0/1 masks.")
    # metadata-carrying subclasses cost more per operation than the operation itself
    mask = plain(mask.detach())
    if mask.dtype == torch.bool:
        return mask
    return mask > 0.5 if mask.is_floating_point() else mask > 0

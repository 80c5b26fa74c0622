"""Lovász loss: the Jaccard index of thresholded masks, averaged over all thresholds of the error."""

from __future__ import annotations

import torch
from torch import Tensor

from dermaseg_monai.losses.base import MaskLoss


class LovaszLoss(MaskLoss):
    """The convex extension of one minus the Jaccard index to the errors of probabilities.

    The error of a pixel with probability p and target t is ``|p - t|``. For each threshold s from 0 to 1, the pixels
    whose error is at least s count as wrong, which gives a Jaccard index; the loss is one minus its mean over s. For
    certain predictions it is therefore one minus the Jaccard index itself, where :class:`JaccardLoss` is that only
    of soft counts. This is the foreground class of the paper's Lovász-Softmax; its Lovász hinge takes margins of the
    logits for errors instead.

    A soft label counts as foreground by its value. If only the target is empty, the loss is the largest probability:
    a single pixel gets a gradient. As with all overlap losses, a sum with cross-entropy trains more steadily.

    Args:
        mode: ``"binary"``, ``"two_class"`` or ``"multilabel"``; ``MaskLoss`` says what shapes each takes.
        batch: count over the whole batch, per channel, instead of per image and channel.

    Reference: Berman et al., "The Lovász-Softmax Loss: A Tractable Surrogate for the Optimization of the
        Intersection-over-Union Measure in Neural Networks", CVPR 2018.

    Example:
        >>> logits = torch.tensor([[[[9.0, 9.0, -9.0, -9.0]]]])
        >>> target = torch.tensor([[[[1, 0, 0, 0]]]])
        >>> print(f"{LovaszLoss()(logits, target):.4f}")
        0.5000
    """

    def __init__(self, mode: str = "binary", batch: bool = False) -> None:
        super().__init__(mode)
        self.batch = batch

    def compare(self, logits: Tensor, target: Tensor) -> Tensor:
        errors = (logits.sigmoid() - target).abs()
        # (B, C, pixels), or (C, pixels) counted over the batch
        errors, target = (
            values.transpose(0, 1).flatten(1) if self.batch else values.flatten(2)
            for values in (errors, target)
        )
        errors, order = errors.sort(dim=-1, descending=True)
        target = target.gather(-1, order)
        missed, added = target.cumsum(-1), (1 - target).cumsum(-1)
        # one minus the Jaccard index where the pixels up to each are wrong, and what each adds to it
        distances = (missed + added) / (missed[..., -1:] + added)
        steps = distances.diff(dim=-1, prepend=torch.zeros_like(distances[..., :1]))
        return (errors * steps).sum(dim=-1).mean()

"""Threshold of each attribute that gives the best official score, by an exact sweep.

The official Task 2 score divides each (image, attribute) confusion matrix by the image's pixel count before it
sums over images. So does this: an image's probabilities are counted in bins, divided by its pixels and added
up. The bins are 1 / 4096 wide, a power of two, so that which bin a probability falls into is exact and the
score at each of the 4,097 thresholds is that of masks made with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dermaseg_monai.metrics.auc import at_or_above, count_bins
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

THRESHOLDS = 2**12
"""Steps between the thresholds 0 and 1."""

OBJECTIVES = ("macro", "micro")
"""What ``best_thresholds`` maximises: the mean of the attributes' Jaccard, or the Jaccard of all together."""


def probability_histogram(probability: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Count the pixels of each probability, apart for background and foreground.

    Runs on the device of its arguments and never waits for it.

    Args:
        probability: ``(B, C, H, W)``, floating, 0 to 1. NaN counts as 0.
        target: masks ``(B, C, H, W)``; what is above 0.5 is foreground.

    Returns:
        ``(2, C, THRESHOLDS + 1)`` int64; those of images of one size add up, others after division by their
        pixels. The last bin holds exactly 1.

    Raises:
        InputError: the shapes differ.

    Example:
        >>> probability = torch.tensor([[[[0.9, 0.4, 0.3, 0.1]]]])
        >>> target = torch.tensor([[[[1, 1, 0, 0]]]])
        >>> probability_histogram(probability, target).shape
        torch.Size([2, 1, 4097])
    """
    if probability.ndim != 4 or probability.shape != target.shape:
        raise InputError(
            f"probabilities {tuple(probability.shape)} and target {tuple(target.shape)} differ; give (B, C, H, W)."
        )
    index = (plain(probability.detach()).float().nan_to_num() * THRESHOLDS).long()
    return count_bins(index, target, THRESHOLDS + 1)


def counts_at_thresholds(histogram: torch.Tensor) -> torch.Tensor:
    """Normalised confusion counts of masks made with each threshold.

    Args:
        histogram: ``(2, C, THRESHOLDS + 1)``, summed over images.

    Returns:
        ``(THRESHOLDS + 1, C, 3)`` float64: tp, fp and fn at thresholds 0, 1 / 4096, ..., 1.

    Example:
        >>> probability = torch.tensor([[[[0.9, 0.4, 0.3, 0.1]]]])
        >>> target = torch.tensor([[[[1, 1, 0, 0]]]])
        >>> counts = counts_at_thresholds(probability_histogram(probability, target))
        >>> counts[THRESHOLDS // 2]  # at one half: a true positive, a false negative
        tensor([[1., 0., 1.]], dtype=torch.float64)
    """
    negative, positive = histogram.double()
    tp, fp = at_or_above(positive), at_or_above(negative)
    fn = positive.sum(-1, keepdim=True) - tp
    return torch.stack([tp, fp, fn.clamp(min=0)], dim=-1).transpose(0, 1)


def best_thresholds(histogram: torch.Tensor, objective: str = "macro") -> list[float]:
    """The threshold of each channel that maximises the official Jaccard.

    "macro" maximises each channel's own. "micro" maximises the Jaccard of all channels together, for which a
    channel gives way where its false positives would cost the others; solved exactly by Dinkelbach's method.

    Args:
        histogram: ``(2, C, THRESHOLDS + 1)``, summed over images.
        objective: one of ``OBJECTIVES``.

    Returns:
        A threshold per channel, for ``probability >= threshold``; 0.5 for a channel without foreground.

    Raises:
        InputError: the objective is unknown.

    Reference: Dinkelbach, "On Nonlinear Fractional Programming", Management Science 1967.

    Example:
        >>> probability = torch.tensor([[[[0.9, 0.4, 0.3, 0.1]]]])
        >>> target = torch.tensor([[[[1, 1, 0, 0]]]])
        >>> (threshold,) = best_thresholds(probability_histogram(probability, target))
        >>> 0.3 < threshold <= 0.4
        True
    """
    if objective not in OBJECTIVES:
        raise InputError(f"unknown objective '{objective}'; choose one of {', '.join(OBJECTIVES)}.")
    counts = counts_at_thresholds(histogram)
    tp, union = counts[..., 0], counts.sum(-1)
    present = histogram[1].sum(-1) > 0
    if objective == "macro":
        best = (tp / union.clamp(min=1e-300)).argmax(dim=0)
    else:
        columns = torch.arange(counts.shape[1])
        ratio, previous = 0.0, -1.0
        best = torch.zeros(counts.shape[1], dtype=torch.long)
        while ratio > previous:  # rises until it is the best ratio there is
            best = (tp - ratio * union).argmax(dim=0)
            chosen = union[best, columns][present].sum()
            previous, ratio = ratio, float(tp[best, columns][present].sum() / chosen.clamp(min=1e-300))
    return [
        index / THRESHOLDS if has else 0.5 for index, has in zip(best.tolist(), present.tolist(), strict=True)
    ]


def scores_at(histogram: torch.Tensor, thresholds: Sequence[float]) -> tuple[torch.Tensor, float]:
    """The official Jaccard indices of masks made with a threshold for each channel.

    Args:
        histogram: ``(2, C, THRESHOLDS + 1)``, summed over images.
        thresholds: one per channel, multiples of 1 / 4096.

    Returns:
        Each channel's index, ``(C,)`` float64, 1 where there is neither mask nor prediction; and the micro
        index, that of all together.

    Example:
        >>> probability = torch.tensor([[[[0.9, 0.4, 0.3, 0.1]]]])
        >>> target = torch.tensor([[[[1, 1, 0, 0]]]])
        >>> scores, micro = scores_at(probability_histogram(probability, target), [0.5])
        >>> scores
        tensor([0.5000], dtype=torch.float64)
    """
    steps = [round(threshold * THRESHOLDS) for threshold in thresholds]
    tp, fp, fn = counts_at_thresholds(histogram)[steps, range(len(steps))].unbind(-1)
    union = tp + fp + fn
    return torch.where(union > 0, tp / union, 1.0), float(tp.sum() / union.sum().clamp(min=1e-300))

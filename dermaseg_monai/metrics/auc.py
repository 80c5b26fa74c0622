"""ROC AUC and average precision of pixels, from histograms of the scores.

A test split holds billions of pixels, too many to sort. Their scores are counted instead, per attribute and
class, in one bin per float16 value: 2^16 bins, 1 MiB per attribute, whatever the number of pixels. Logits in
bfloat16 or float16 lose nothing by it (for magnitudes between 6e-5 and 65504), so their curves are exact.
Float32 logits are rounded by at most one part in 2048, which puts the areas of a test split less than 2e-4 from the
exact ones, and the precisions less than 2e-3. Give logits rather than probabilities: close to 1 there are too few
float16 values to tell probabilities apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import ignite.distributed as idist
import torch

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

BINS = 2**16
"""Bins of a score histogram: one for each bit pattern of a float16."""


def score_histogram(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Count the pixels of each score, apart for background and foreground.

    Runs on the device of its arguments and never waits for it.

    Args:
        scores: logits ``(B, C, H, W)``, floating. NaN counts as the lowest score.
        target: masks ``(B, C, H, W)`` of 0/1, bool or any real dtype.

    Returns:
        ``(2, C, BINS)`` int64: background and foreground counts by ascending score. Histograms add up.

    Raises:
        InputError: a shape or dtype does not fit.

    Example:
        >>> scores = torch.tensor([[[[0.9, 0.8, 0.3, 0.1]]]])
        >>> target = torch.tensor([[[[1, 0, 1, 0]]]])
        >>> score_histogram(scores, target).sum(-1)  # pixels of background and foreground
        tensor([[2],
                [2]])
    """
    if scores.ndim != 4 or scores.shape != target.shape:
        raise InputError(
            f"scores {tuple(scores.shape)} and target {tuple(target.shape)} differ; give (B, C, H, W) each."
        )
    if not scores.is_floating_point():
        raise InputError(f"scores have dtype {scores.dtype}; give the logits, not masks made from them.")
    return count_bins(_bins(plain(scores.detach())), target, BINS)


def count_bins(index: torch.Tensor, target: torch.Tensor, bins: int) -> torch.Tensor:
    """Count the pixels of each bin, apart for background and foreground.

    Runs on the device of its arguments and never waits for it.

    Args:
        index: each pixel's bin, ``(B, C, H, W)`` int64 in [0, ``bins``).
        target: masks of the same shape; what is above 0.5 is foreground.
        bins: how many there are.

    Returns:
        ``(2, C, bins)`` int64, background first.
    """
    channels = index.shape[1]
    foreground = plain(target.detach()) > 0.5
    channel = torch.arange(channels, device=index.device).view(1, -1, 1, 1)
    index = ((foreground * channels + channel) * bins + index).flatten()
    histogram = torch.zeros(2 * channels * bins, dtype=torch.int64, device=index.device)
    # bincount would wait for the device to learn the largest index
    histogram.scatter_add_(0, index, torch.ones_like(index))
    return histogram.view(2, channels, bins)


def roc_auc(histogram: torch.Tensor) -> torch.Tensor:
    """Area under the ROC curve, equal scores counted half.

    Args:
        histogram: ``(2, C, BINS)`` of ``score_histogram``, or a sum of several.

    Returns:
        ``(C,)`` float64; NaN where there is no foreground or no background.

    Raises:
        InputError: the shape does not fit.

    Example:
        >>> scores = torch.tensor([[[[0.9, 0.8, 0.3, 0.1]]]])
        >>> target = torch.tensor([[[[1, 0, 1, 0]]]])
        >>> roc_auc(score_histogram(scores, target))
        tensor([0.7500], dtype=torch.float64)
    """
    negative, positive = _classes(histogram)
    below = negative.cumsum(-1) - negative
    return (positive * (below + negative / 2)).sum(-1) / (positive.sum(-1) * negative.sum(-1))


def average_precision(histogram: torch.Tensor) -> torch.Tensor:
    """Average precision: precision at each score, weighted by the recall gained there, without interpolation.

    Args:
        histogram: ``(2, C, BINS)`` of ``score_histogram``, or a sum of several.

    Returns:
        ``(C,)`` float64; NaN where there is no foreground.

    Raises:
        InputError: the shape does not fit.

    Example:
        >>> scores = torch.tensor([[[[0.9, 0.8, 0.3, 0.1]]]])
        >>> target = torch.tensor([[[[1, 0, 1, 0]]]])
        >>> average_precision(score_histogram(scores, target))
        tensor([0.8333], dtype=torch.float64)
    """
    negative, positive = _classes(histogram)
    fp, tp = at_or_above(negative), at_or_above(positive)
    precision = tp / (tp + fp).clamp(min=1)
    return (positive * precision).sum(-1) / positive.sum(-1)


CURVES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
}
"""The curve scores by the name that configurations use."""


class ScoreHistogram:
    """Score histogram of a whole data set, filled batch by batch.

    Args:
        channels: number of attributes C.

    Raises:
        InputError: ``channels`` is below 1.

    Example:
        >>> histogram = ScoreHistogram(channels=1)
        >>> histogram.update(torch.tensor([[[[0.9, 0.8]]]]), torch.tensor([[[[1, 0]]]]))
        >>> histogram.update(torch.tensor([[[[0.3, 0.1]]]]), torch.tensor([[[[1, 0]]]]))
        >>> roc_auc(histogram.gather())
        tensor([0.7500], dtype=torch.float64)
    """

    def __init__(self, channels: int) -> None:
        if channels < 1:
            raise InputError(f"a score histogram of {channels} channels is empty; give at least 1.")
        self.channels = channels
        self.counts: torch.Tensor
        self.reset()

    def reset(self) -> None:
        """Forget all pixels."""
        self.counts = torch.zeros((2, self.channels, BINS), dtype=torch.int64)

    def update(
        self,
        scores: torch.Tensor | Sequence[torch.Tensor],
        target: torch.Tensor | Sequence[torch.Tensor],
    ) -> None:
        """Count a batch, on the device it is on.

        Args:
            scores: logits ``(B, C, H, W)``, or a list of ``(C, H, W)`` of any sizes.
            target: 0/1 masks of the same shapes.

        Raises:
            InputError: shapes, dtypes or the number of channels do not fit.
        """
        if not isinstance(scores, torch.Tensor):
            if len(scores) != len(target):
                raise InputError(f"{len(scores)} scores came with {len(target)} targets; give one for each.")
            for one_score, one_target in zip(scores, target, strict=True):
                self.update(one_score[None], one_target[None])
            return
        if not isinstance(target, torch.Tensor):
            raise InputError("scores are a tensor and targets are not; give two tensors or two lists.")
        histogram = score_histogram(scores, target)
        if histogram.shape[1] != self.channels:
            raise InputError(f"scores have {histogram.shape[1]} channels; give {self.channels} as announced.")
        self.counts = self.counts.to(histogram.device) + histogram

    def gather(self) -> torch.Tensor:
        """Sum the counts of all processes; in distributed runs every process must call it.

        Returns:
            ``(2, C, BINS)`` int64 on the CPU.
        """
        if idist.get_world_size() == 1:
            return self.counts.cpu()
        return cast(torch.Tensor, idist.all_reduce(self.counts.to(idist.device(), copy=True))).cpu()


def _bins(scores: torch.Tensor) -> torch.Tensor:
    """Rank of each score among all float16 values: ``(...)`` int64 in [0, BINS)."""
    # adding zero turns -0 into +0; infinities have bins of their own
    halves = scores.to(torch.float16).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf) + 0.0
    bits = halves.view(torch.int16).long()
    # bit patterns of negative floats fall as their values rise
    return torch.where(bits < 0, -1 - bits, bits + BINS // 2)


def _classes(histogram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if histogram.ndim != 3 or histogram.shape[0] != 2:
        raise InputError(f"histogram has shape {tuple(histogram.shape)}; give (2, C, BINS).")
    negative, positive = histogram.double()
    return negative, positive


def at_or_above(counts: torch.Tensor) -> torch.Tensor:
    """Sums of counts ``(..., bins)`` over each bin and all that lie above it."""
    return counts.flip(-1).cumsum(-1).flip(-1)

"""From the counts of many images to the numbers that are reported.

Task 1 reports the plain mean over images. Task 2, where most masks are empty, pools first: the challenge
divides each (image, attribute) confusion matrix by the image's pixel count, sums over images, and scores the
sums. Pooling plain pixels instead, where large photos weigh more, is ``metric(counts.sum(0))``.

Reference:
    isic-challenge-scoring, ``segmentation.py`` (Task 1) and ``task2.py``,
    https://github.com/ImageMarkup/isic-challenge-scoring.
"""

from __future__ import annotations

import torch

from dermaseg_monai.metrics.reductions import get_metric
from dermaseg_monai.utils.errors import InputError

REDUCTIONS = ("image_mean", "present_mean", "pooled_macro", "pooled_micro")
"""The ways ``aggregate`` makes one number, or one per channel, from many images."""


def normalised_pool(counts: torch.Tensor) -> torch.Tensor:
    """Sum the confusion matrices of many images, each divided by its image's pixel count.

    Args:
        counts: ``(N, C, 4)`` of N images of any sizes.

    Returns:
        ``(C, 4)`` float64; each row adds up to N.

    Raises:
        InputError: the shape does not fit or there are no images.

    Example:
        >>> counts = torch.tensor([[[8, 2, 1, 89]], [[40, 0, 10, 350]]])  # two images, one channel
        >>> normalised_pool(counts)
        tensor([[0.1800, 0.0200, 0.0350, 1.7650]], dtype=torch.float64)
    """
    _check_counts(counts)
    counts = counts.double()
    return (counts / counts.sum(dim=-1, keepdim=True)).sum(dim=0)


def image_mean(counts: torch.Tensor, metric: str, empty: float = 1.0) -> torch.Tensor:
    """Mean of the per-image scores over all images, per channel.

    Args:
        counts: ``(N, C, 4)``.
        metric: a key of ``METRICS``.
        empty: the score of an image where the metric's denominator is zero.

    Returns:
        ``(C,)`` float64.

    Raises:
        InputError: the shape does not fit, there are no images, or the metric is unknown.

    Example:
        >>> counts = torch.tensor([[[8, 2, 1, 89]], [[0, 0, 0, 100]]])  # nothing to find in the second image
        >>> image_mean(counts, "dice")
        tensor([0.9211], dtype=torch.float64)
    """
    _check_counts(counts)
    return get_metric(metric)(counts, empty=empty).mean(dim=0)


def present_mean(counts: torch.Tensor, metric: str, empty: float = 1.0) -> torch.Tensor:
    """Mean of the per-image scores over the images whose target is not empty, per channel.

    Args:
        counts: ``(N, C, 4)``.
        metric: a key of ``METRICS``.
        empty: the score of an image where the metric's denominator is zero.

    Returns:
        ``(C,)`` float64; NaN for a channel that is empty in every image.

    Raises:
        InputError: the shape does not fit, there are no images, or the metric is unknown.

    Example:
        >>> counts = torch.tensor([[[8, 2, 1, 89]], [[0, 0, 0, 100]]])  # nothing to find in the second image
        >>> present_mean(counts, "dice")
        tensor([0.8421], dtype=torch.float64)
    """
    _check_counts(counts)
    scores = get_metric(metric)(counts, empty=empty)
    tp, _, fn, _ = counts.unbind(-1)
    present = tp + fn > 0
    return torch.where(present, scores, 0).sum(dim=0) / present.sum(dim=0)


def pooled(counts: torch.Tensor, metric: str, empty: float = 1.0) -> torch.Tensor:
    """Score of the normalised pool per channel: the official per-attribute score of Task 2.

    Args:
        counts: ``(N, C, 4)``.
        metric: a key of ``METRICS``.
        empty: the score of a channel where the metric's denominator is zero over all images.

    Returns:
        ``(C,)`` float64.

    Raises:
        InputError: the shape does not fit, there are no images, or the metric is unknown.

    Example:
        >>> counts = torch.tensor([[[8, 2, 1, 89]], [[40, 0, 10, 350]]])
        >>> pooled(counts, "jaccard")
        tensor([0.7660], dtype=torch.float64)
    """
    return get_metric(metric)(normalised_pool(counts), empty=empty)


def pooled_micro(counts: torch.Tensor, metric: str, empty: float = 1.0) -> torch.Tensor:
    """Score of the normalised pool of all channels together: the official overall score of Task 2.

    Args:
        counts: ``(N, C, 4)``.
        metric: a key of ``METRICS``.
        empty: the score where the metric's denominator is zero over all images and channels.

    Returns:
        float64 scalar.

    Raises:
        InputError: the shape does not fit, there are no images, or the metric is unknown.

    Example:
        >>> counts = torch.tensor([[[8, 2, 1, 89], [0, 1, 2, 97]]])  # an image, two channels
        >>> pooled_micro(counts, "jaccard")
        tensor(0.5714, dtype=torch.float64)
    """
    return get_metric(metric)(normalised_pool(counts).sum(dim=0), empty=empty)


def aggregate(
    counts: torch.Tensor,
    metric: str,
    reduction: str = "image_mean",
    per_channel: bool = False,
    empty: float = 1.0,
) -> torch.Tensor:
    """Reduce the counts of many images by name.

    Args:
        counts: ``(N, C, 4)``.
        metric: a key of ``METRICS``.
        reduction: one of ``REDUCTIONS``:

            - ``"image_mean"``: mean over images (``image_mean``), then over channels.
            - ``"present_mean"``: mean over the images that have the channel (``present_mean``), then over the
              channels that some image has; ``empty`` where no image has any.
            - ``"pooled_macro"``: the official Task 2 score per channel (``pooled``), then their mean.
            - ``"pooled_micro"``: the official Task 2 score over all channels (``pooled_micro``).
        per_channel: leave out the mean over channels.
        empty: the score where a denominator is zero.

    Returns:
        float64 scalar, never NaN, or ``(C,)`` when ``per_channel``, NaN only as ``present_mean`` says.

    Raises:
        InputError: an argument does not fit, or channels are asked of ``"pooled_micro"``.

    Example:
        >>> counts = torch.tensor([[[8, 2, 1, 89], [0, 1, 2, 97]]])  # an image, two channels
        >>> aggregate(counts, "jaccard", "pooled_macro")
        tensor(0.3636, dtype=torch.float64)
        >>> aggregate(counts, "jaccard", "pooled_macro", per_channel=True)
        tensor([0.7273, 0.0000], dtype=torch.float64)
    """
    if reduction == "pooled_micro":
        if per_channel:
            raise InputError(
                "reduction 'pooled_micro' mixes all channels; take 'pooled_macro' to score each."
            )
        return pooled_micro(counts, metric, empty)
    if reduction not in REDUCTIONS:
        raise InputError(f"unknown reduction '{reduction}'; choose one of {', '.join(REDUCTIONS)}.")
    by_channel = {"image_mean": image_mean, "present_mean": present_mean, "pooled_macro": pooled}[reduction]
    scores = by_channel(counts, metric, empty)
    if per_channel:
        return scores
    return scores.nanmean().nan_to_num(nan=empty)


def _check_counts(counts: torch.Tensor) -> None:
    if counts.ndim != 3 or counts.shape[-1] != 4 or 0 in counts.shape:
        raise InputError(
            f"counts have shape {tuple(counts.shape)}; give (N, C, 4) of at least one image, in the order "
            "tp, fp, fn, tn."
        )

"""Confusion counts to scores: pure functions, each equal to the ISIC challenge's own.

All take counts ``(..., 4)`` in the order tp, fp, fn, tn (integers, or floats after pooling) and return
``(...)`` float64 between 0 and 1. ``empty`` is the score where the metric's denominator is zero; its default,
1, is what the challenge awards there.

Reference:
    Codella et al., "Skin Lesion Analysis Toward Melanoma Detection 2018", arXiv:1902.03368;
    isic-challenge-scoring, https://github.com/ImageMarkup/isic-challenge-scoring.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from dermaseg_monai.utils.errors import InputError

_MILLION = 1_000_000


def dice(counts: torch.Tensor, empty: float = 1.0) -> torch.Tensor:
    """Dice coefficient, ``2 tp / (2 tp + fp + fn)``.

    Args:
        counts: ``(..., 4)``.
        empty: the score where prediction and target are both empty.

    Returns:
        ``(...)`` float64.

    Raises:
        InputError: the last dimension is not 4.

    Example:
        >>> counts = torch.tensor([[8, 2, 1, 89], [0, 0, 0, 100]])  # tp, fp, fn, tn of two images
        >>> dice(counts)
        tensor([0.8421, 1.0000], dtype=torch.float64)
    """
    tp, fp, fn, _ = _split(counts)
    return _ratio(2 * tp, 2 * tp + fp + fn, empty)


def jaccard(counts: torch.Tensor, empty: float = 1.0) -> torch.Tensor:
    """Jaccard index (intersection over union), ``tp / (tp + fp + fn)``.

    Args:
        counts: ``(..., 4)``.
        empty: the score where prediction and target are both empty.

    Returns:
        ``(...)`` float64.

    Raises:
        InputError: the last dimension is not 4.

    Example:
        >>> counts = torch.tensor([[8, 2, 1, 89], [0, 0, 0, 100]])  # tp, fp, fn, tn of two images
        >>> jaccard(counts)
        tensor([0.7273, 1.0000], dtype=torch.float64)
    """
    tp, fp, fn, _ = _split(counts)
    return _ratio(tp, tp + fp + fn, empty)


def threshold_jaccard(counts: torch.Tensor, threshold: float = 0.65, empty: float = 1.0) -> torch.Tensor:
    """Jaccard index, or 0 where it is below ``threshold``: the ranking score of ISIC 2018 Task 1.

    Args:
        counts: ``(..., 4)``.
        threshold: the lowest Jaccard index that counts, in [0, 1], read to six decimals. It is compared in
            integers, so an index of exactly 0.65 counts.
        empty: the score where prediction and target are both empty, whatever the threshold.

    Returns:
        ``(...)`` float64.

    Raises:
        InputError: the last dimension is not 4 or the threshold is outside [0, 1].

    Example:
        >>> counts = torch.tensor([[65, 35, 0, 0], [64, 36, 0, 0]])  # Jaccard indices of 0.65 and 0.64
        >>> threshold_jaccard(counts)
        tensor([0.6500, 0.0000], dtype=torch.float64)
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; give a Jaccard index between 0 and 1.")
    tp, fp, fn, _ = _split(counts)
    union = tp + fp + fn
    # an empty union passes (0 >= 0), so that `empty` is left as it is
    counted = tp * _MILLION >= round(threshold * _MILLION) * union
    score = jaccard(counts, empty)
    return torch.where(counted, score, torch.zeros_like(score))


def accuracy(counts: torch.Tensor, empty: float = 1.0) -> torch.Tensor:
    """Pixel accuracy, ``(tp + tn) / (tp + fp + fn + tn)``.

    Args:
        counts: ``(..., 4)``.
        empty: the score where no pixel was counted at all.

    Returns:
        ``(...)`` float64.

    Raises:
        InputError: the last dimension is not 4.

    Example:
        >>> counts = torch.tensor([[8, 2, 1, 89], [0, 0, 0, 100]])  # tp, fp, fn, tn of two images
        >>> accuracy(counts)
        tensor([0.9700, 1.0000], dtype=torch.float64)
    """
    tp, fp, fn, tn = _split(counts)
    return _ratio(tp + tn, tp + fp + fn + tn, empty)


def sensitivity(counts: torch.Tensor, empty: float = 1.0) -> torch.Tensor:
    """Sensitivity (recall), ``tp / (tp + fn)``.

    Args:
        counts: ``(..., 4)``.
        empty: the score where the target is empty, whatever was predicted.

    Returns:
        ``(...)`` float64.

    Raises:
        InputError: the last dimension is not 4.

    Example:
        >>> counts = torch.tensor([[8, 2, 1, 89], [0, 0, 0, 100]])  # tp, fp, fn, tn of two images
        >>> sensitivity(counts)
        tensor([0.8889, 1.0000], dtype=torch.float64)
    """
    tp, _, fn, _ = _split(counts)
    return _ratio(tp, tp + fn, empty)


def specificity(counts: torch.Tensor, empty: float = 1.0) -> torch.Tensor:
    """Specificity, ``tn / (tn + fp)``.

    Args:
        counts: ``(..., 4)``.
        empty: the score where the target is full, whatever was predicted.

    Returns:
        ``(...)`` float64.

    Raises:
        InputError: the last dimension is not 4.

    Example:
        >>> counts = torch.tensor([[8, 2, 1, 89], [0, 0, 0, 100]])  # tp, fp, fn, tn of two images
        >>> specificity(counts)
        tensor([0.9780, 1.0000], dtype=torch.float64)
    """
    _, fp, _, tn = _split(counts)
    return _ratio(tn, tn + fp, empty)


METRICS: dict[str, Callable[..., torch.Tensor]] = {
    "dice": dice,
    "jaccard": jaccard,
    "threshold_jaccard": threshold_jaccard,
    "accuracy": accuracy,
    "sensitivity": sensitivity,
    "specificity": specificity,
}
"""The metrics by the name that configurations use."""


def get_metric(name: str) -> Callable[..., torch.Tensor]:
    """Return the function of ``METRICS`` called ``name``.

    Args:
        name: a key of ``METRICS``.

    Returns:
        A function of counts ``(..., 4)`` and the keyword ``empty``.

    Raises:
        InputError: there is no metric of that name.

    Example:
        >>> get_metric("dice")(torch.tensor([8, 2, 1, 89])).item()
        0.8421052631578947
    """
    if name not in METRICS:
        raise InputError(f"unknown metric '{name}'; choose one of {', '.join(METRICS)}.")
    return METRICS[name]


def _split(counts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    if counts.ndim == 0 or counts.shape[-1] != 4:
        raise InputError(f"counts have shape {tuple(counts.shape)}; give (..., 4): tp, fp, fn, tn.")
    # narrow integers would overflow in sums and products
    return (counts if counts.is_floating_point() else counts.long()).unbind(-1)


def _ratio(numerator: torch.Tensor, denominator: torch.Tensor, empty: float) -> torch.Tensor:
    zero = denominator == 0
    ratio = numerator.double() / torch.where(zero, 1, denominator).double()
    return torch.where(zero, empty, ratio)

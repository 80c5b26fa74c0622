"""Temperature of probabilities: one number per channel that makes them as often right as they say.

Photos are counted into a histogram of logits, each photo as one, so that millions of pixels of any number of photos are
kept in a small table, from which every temperature's likelihood and calibration error follow without another look.
"""

from __future__ import annotations

import torch

from dermaseg_monai.metrics.auc import count_bins
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

LIMIT = 16.0
"""Logits are counted from -16 to 16; a probability beyond differs from 0 or 1 by 1e-7."""

_PER_UNIT = 64
_BINS = int(2 * LIMIT * _PER_UNIT) + 1
_ECE_BINS = 20


def logit_histogram(probability: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Count one photo's pixels by the logit of their probability, apart for background and foreground.

    Args:
        probability: ``(C, H, W)``, floating, 0 to 1.
        target: masks ``(C, H, W)``; what is above 0.5 is foreground.

    Returns:
        ``(2, C, bins)`` float64, shares of the photo's pixels; those of several photos add up.

    Raises:
        InputError: the shapes differ.

    Example:
        >>> logit_histogram(torch.tensor([[[0.9, 0.2]]]), torch.tensor([[[1, 0]]])).sum(-1)  # shares of the pixels
        tensor([[0.5000],
                [0.5000]], dtype=torch.float64)
    """
    if probability.ndim != 3 or probability.shape != target.shape:
        raise InputError(
            f"probabilities {tuple(probability.shape)} and target {tuple(target.shape)} differ; give (C, H, W)."
        )
    logit = torch.logit(plain(probability.detach()).double(), eps=1e-12)
    index = ((logit.clamp(-LIMIT, LIMIT) + LIMIT) * _PER_UNIT).round().long()
    return count_bins(index[None], target[None], _BINS).double() / logit[0].numel()


def negative_log_likelihood(histogram: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Mean binary cross-entropy, in nats, of probabilities at a temperature.

    Args:
        histogram: ``(2, C, bins)``, the sum of :func:`logit_histogram` over photos.
        temperature: above 0, ``(C,)``.

    Returns:
        ``(C,)`` float64.

    Example:
        >>> probability = torch.tensor([[[0.99, 0.99, 0.01, 0.01]]])  # sure, but wrong in a quarter
        >>> histogram = logit_histogram(probability, torch.tensor([[[1, 0, 0, 0]]]))
        >>> negative_log_likelihood(histogram, torch.tensor([1.0])).round(decimals=2)
        tensor([1.1600], dtype=torch.float64)
    """
    scaled = _logits() / temperature.double()[:, None]
    softplus = torch.nn.functional.softplus
    losses = torch.stack([softplus(scaled), softplus(-scaled)])
    return (histogram * losses).sum(dim=(0, 2)) / histogram.sum(dim=(0, 2))


def fit_temperature(histogram: torch.Tensor) -> torch.Tensor:
    """The temperature of each channel that makes its masks likeliest.

    The likelihood has one optimum in the inverse temperature; it is enclosed by a golden-section search in the
    logarithm, between 1/20 and 20.

    Args:
        histogram: ``(2, C, bins)``, the sum of :func:`logit_histogram` over photos.

    Returns:
        ``(C,)`` float64; 1 for a channel that has no foreground.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599

    Example:
        >>> probability = torch.tensor([[[0.99, 0.99, 0.01, 0.01]]])  # sure, but wrong in a quarter
        >>> histogram = logit_histogram(probability, torch.tensor([[[1, 0, 0, 0]]]))
        >>> fit_temperature(histogram) > 1  # less sure is better
        tensor([True])
    """
    golden = (5**0.5 - 1) / 2
    low = torch.full((histogram.shape[1],), 1 / 20, dtype=torch.float64).log()
    high = -low
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        better = negative_log_likelihood(histogram, left.exp()) < negative_log_likelihood(
            histogram, right.exp()
        )
        low, high = torch.where(better, low, left), torch.where(better, right, high)
    present = histogram[1].sum(dim=-1) > 0
    return torch.where(present, ((low + high) / 2).exp(), 1.0)


def expected_calibration_error(histogram: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Expected calibration error: the mean distance of probabilities from the share of foreground pixels.

    Args:
        histogram: ``(2, C, bins)``, the sum of :func:`logit_histogram` over photos.
        temperature: above 0, ``(C,)``; 1 for the probabilities as they are.

    Returns:
        ``(C,)`` float64, 0 to 1: the mean over 20 bins of equal width, weighted by their pixels, of the difference
        between mean probability and share of foreground.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599

    Example:
        >>> probability = torch.tensor([[[0.99, 0.99, 0.01, 0.01]]])  # sure, but wrong in a quarter
        >>> histogram = logit_histogram(probability, torch.tensor([[[1, 0, 0, 0]]]))
        >>> expected_calibration_error(histogram, torch.tensor([1.0])).round(decimals=2)
        tensor([0.2500], dtype=torch.float64)
    """
    probability = torch.sigmoid(_logits() / temperature.double()[:, None])
    index = (probability * _ECE_BINS).long().clamp(max=_ECE_BINS - 1)
    pixels = histogram.sum(dim=0)
    predicted, foreground = (
        torch.zeros(len(probability), _ECE_BINS, dtype=torch.float64).scatter_add_(1, index, values)
        for values in (pixels * probability, histogram[1])
    )
    return (predicted - foreground).abs().sum(dim=1) / pixels.sum(dim=1)


def _logits() -> torch.Tensor:
    return torch.arange(_BINS, dtype=torch.float64) / _PER_UNIT - LIMIT

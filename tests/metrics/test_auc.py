from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from dermaseg_monai.metrics import (
    ScoreHistogram,
    average_precision,
    roc_auc,
    score_histogram,
)
from dermaseg_monai.metrics.auc import BINS
from dermaseg_monai.utils.errors import InputError
from tests.metrics.reference import average_precision_error, roc_auc_error

ATTRIBUTE_SHARES = torch.tensor([0.3, 0.05, 0.01, 0.003]).view(1, -1, 1, 1)


def batch(seed: int, size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand((2, 4, size, size), generator=generator) < ATTRIBUTE_SHARES
    logits = torch.randn(target.shape, generator=generator) * 2 - 4 + 2.5 * target
    return logits, target


def exact(logits: torch.Tensor, target: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    pairs = [
        (target[:, channel].flatten().numpy(), logits[:, channel].flatten().double().numpy())
        for channel in range(logits.shape[1])
    ]
    return (
        np.array([sklearn_metrics.roc_auc_score(*pair) for pair in pairs]),
        np.array([sklearn_metrics.average_precision_score(*pair) for pair in pairs]),
    )


def test_literal_curves():
    # descending: 3 (true), 2 (false), 1 (true and false), 0 (false); the tie counts half
    logits = torch.tensor([[[[3.0, 2.0, 1.0, 1.0, 0.0]]]])
    target = torch.tensor([[[[1, 0, 1, 0, 0]]]])
    histogram = score_histogram(logits, target)
    assert histogram.shape == (2, 1, BINS)
    assert roc_auc(histogram).item() == pytest.approx((3 + 1 + 0.5) / 6)
    assert average_precision(histogram).item() == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)


def test_order_of_bins_is_the_order_of_scores():
    scores = torch.tensor([-torch.inf, -7e4, -65504.0, -2.0, -1e-7, 0.0, 6e-8, 0.5, 1.0, 65504.0, torch.inf])
    none = torch.zeros((1, 1, 1, 1))
    bins = [score_histogram(score.view(1, 1, 1, 1), none)[0, 0].nonzero().item() for score in scores]
    assert bins == sorted(bins)
    assert bins[0] == bins[1]  # beyond float16 all is infinite
    assert len(set(bins)) == len(bins) - 1
    minus_zero = score_histogram(torch.full((1, 1, 1, 1), -0.0), none)[0, 0].nonzero().item()
    assert minus_zero == bins[5]
    nan = score_histogram(torch.full((1, 1, 1, 1), torch.nan), none)[0, 0].nonzero().item()
    assert nan == bins[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_exact_for_half_precision_logits(dtype):
    logits, target = batch(0)
    logits = logits.to(dtype)
    areas, precisions = exact(logits, target)
    histogram = score_histogram(logits, target)
    assert roc_auc(histogram).numpy() == pytest.approx(areas, abs=1e-12)
    assert average_precision(histogram).numpy() == pytest.approx(precisions, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_within_the_stated_error_for_float32(seed):
    logits, target = batch(seed)
    areas, precisions = exact(logits, target)
    histogram = score_histogram(logits, target)
    area_error, precision_error = roc_auc_error(histogram), average_precision_error(histogram)
    assert np.all(np.abs(roc_auc(histogram).numpy() - areas) <= area_error.numpy())
    assert np.all(np.abs(average_precision(histogram).numpy() - precisions) <= precision_error.numpy())
    assert area_error.max() < 2e-4
    assert precision_error.max() < 2e-3
    assert roc_auc(histogram).numpy() == pytest.approx(areas, abs=2e-5)
    assert average_precision(histogram).numpy() == pytest.approx(precisions, abs=5e-4)


def test_error_bounds_hold_at_the_worst_order():
    # all in one bin, but ordered: foreground wholly above or wholly below
    inside_one_bin = 100 + torch.linspace(0, 0.01, 40).view(1, 1, 4, 10)
    for first in (True, False):
        target = (
            torch.arange(40).view(1, 1, 4, 10) >= 25 if first else torch.arange(40).view(1, 1, 4, 10) < 15
        )
        histogram = score_histogram(inside_one_bin, target)
        assert (histogram.sum(dim=(0, 1)) > 0).sum() == 1
        areas, precisions = exact(inside_one_bin, target)
        assert (
            abs(roc_auc(histogram).item() - areas[0]) == pytest.approx(roc_auc_error(histogram).item()) == 0.5
        )
        distance = abs(average_precision(histogram).item() - precisions[0])
        assert distance <= average_precision_error(histogram).item()


def test_never_waits_for_the_device():
    # tensors without data raise wherever a value would have to be fetched
    scores = torch.zeros((2, 5, 8, 8), device="meta")
    assert score_histogram(scores, scores).shape == (2, 5, BINS)


def test_undefined_curves_are_nan():
    logits = torch.randn(1, 2, 4, 4)
    target = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])[None]
    histogram = score_histogram(logits, target)
    assert torch.isnan(roc_auc(histogram)).tolist() == [True, True]
    assert math.isnan(average_precision(histogram)[0])
    assert average_precision(histogram)[1] == 1


def test_batches_and_lists_add_up():
    (first, first_target), (second, second_target) = batch(0), batch(1)
    whole = ScoreHistogram(4)
    whole.update(torch.cat([first, second]), torch.cat([first_target, second_target]))
    parts = ScoreHistogram(4)
    parts.update(first, first_target)
    parts.update(list(second), list(second_target))
    assert torch.equal(parts.gather(), whole.gather())
    assert whole.gather().sum() == first.numel() + second.numel()
    duplicate = copy.deepcopy(whole)
    whole.reset()
    assert whole.gather().sum() == 0
    assert torch.equal(duplicate.gather(), parts.gather())


def test_lists_of_different_sizes():
    (small, small_target), (large, large_target) = batch(0, size=8), batch(1, size=20)
    histogram = ScoreHistogram(4)
    histogram.update([small[0], large[0]], [small_target[0], large_target[0]])
    expected = score_histogram(small[:1], small_target[:1]) + score_histogram(large[:1], large_target[:1])
    assert torch.equal(histogram.gather(), expected)


def test_wrong_input_is_named():
    logits, target = batch(0, size=4)
    with pytest.raises(InputError, match="give the logits"):
        score_histogram(target, target)
    with pytest.raises(InputError, match="differ"):
        score_histogram(logits, target[:, :1])
    with pytest.raises(InputError, match="scores have 4 channels; give 5"):
        ScoreHistogram(5).update(logits, target)
    with pytest.raises(InputError, match="2 scores came with 1 targets"):
        ScoreHistogram(4).update(list(logits), list(target)[:1])
    with pytest.raises(InputError, match="two tensors or two lists"):
        ScoreHistogram(4).update(logits, list(target))
    with pytest.raises(InputError, match="0 channels"):
        ScoreHistogram(0)
    with pytest.raises(InputError, match=r"histogram has shape \(4, 9\)"):
        roc_auc(torch.zeros(4, 9))

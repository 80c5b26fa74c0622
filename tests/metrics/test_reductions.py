from __future__ import annotations

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dermaseg_monai.metrics import METRICS, confusion_counts, get_metric, jaccard, threshold_jaccard
from dermaseg_monai.utils.errors import InputError
from tests.metrics.reference import exact_scores, mask_pairs

NAMES = ["dice", "jaccard", "threshold_jaccard", "accuracy", "sensitivity", "specificity"]

# tp, fp, fn, tn -> the scores in the order of NAMES
TABLE = {
    "plain": ([3, 1, 2, 4], [2 / 3, 0.5, 0.0, 0.7, 0.6, 0.8]),
    "good": ([8, 1, 1, 10], [8 / 9, 0.8, 0.8, 0.9, 8 / 9, 10 / 11]),
    "perfect": ([5, 0, 0, 5], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    "both empty": ([0, 0, 0, 9], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    "both full": ([9, 0, 0, 0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    "target empty": ([0, 2, 0, 6], [0.0, 0.0, 0.0, 0.75, 1.0, 0.75]),
    "prediction empty": ([0, 0, 2, 6], [0.0, 0.0, 0.0, 0.75, 0.0, 1.0]),
    "target full": ([6, 0, 2, 0], [6 / 7, 0.75, 0.75, 0.75, 0.75, 1.0]),
    "everything wrong": ([0, 3, 5, 0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    "exactly 0.65": ([13, 3, 4, 1], [26 / 33, 0.65, 0.65, 14 / 21, 13 / 17, 0.25]),
    "just below 0.65": ([12999, 7001, 0, 0], [25998 / 32999, 0.64995, 0.0, 0.64995, 1.0, 0.0]),
}


@pytest.mark.parametrize(("counts", "expected"), TABLE.values(), ids=TABLE)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float64])
def test_literal_table(counts, expected, dtype):
    scores = torch.stack([METRICS[name](torch.tensor(counts, dtype=dtype)) for name in NAMES])
    assert scores.dtype == torch.float64
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)


def test_equal_to_exact_fractions():
    for prediction, target in mask_pairs(120, seed=3):
        counts = confusion_counts(
            torch.from_numpy(prediction)[None, None], torch.from_numpy(target)[None, None]
        )
        for name, exact in exact_scores(prediction, target).items():
            assert METRICS[name](counts).item() == float(exact), name


def test_threshold_is_exact_at_every_size():
    scale = torch.arange(1, 200_001)
    at = torch.stack([13 * scale, 7 * scale, 0 * scale, scale], dim=-1)
    assert torch.all(threshold_jaccard(at) == 0.65)
    below = at + torch.tensor([-1, 1, 0, 0])
    assert torch.all(threshold_jaccard(below) == 0)
    # float32 cannot tell these two apart
    huge = torch.tensor([[13 * 10**7, 7 * 10**7, 0, 0], [13 * 10**7 - 1, 7 * 10**7 + 1, 0, 0]])
    assert threshold_jaccard(huge).tolist() == [0.65, 0.0]


def test_narrow_integers_do_not_overflow():
    assert threshold_jaccard(torch.tensor([10**6, 0, 0, 0], dtype=torch.int32)).item() == 1
    assert jaccard(torch.tensor([200, 50, 50, 0], dtype=torch.uint8)).item() == pytest.approx(2 / 3)


def test_thresholds_other_than_the_official_one():
    counts = torch.tensor([[7, 3, 0, 0], [1, 2, 0, 0]])
    assert threshold_jaccard(counts, threshold=0.7).tolist() == [0.7, 0.0]
    assert threshold_jaccard(counts, threshold=0.700001).tolist() == [0.0, 0.0]
    assert torch.equal(threshold_jaccard(counts, threshold=0.0), jaccard(counts))
    with pytest.raises(InputError, match=r"threshold is 65"):
        threshold_jaccard(counts, threshold=65)


@pytest.mark.parametrize("empty", [0.0, 0.25, 1.0])
def test_empty_policy(empty):
    empty_target_missed, nothing, all_true = [0, 2, 0, 6], [0, 0, 0, 9], [4, 0, 2, 0]
    counts = torch.tensor([empty_target_missed, nothing, all_true])
    expected = {
        "dice": [0.0, empty, 0.8],
        "jaccard": [0.0, empty, 2 / 3],
        "threshold_jaccard": [0.0, empty, 2 / 3],
        "accuracy": [0.75, 1.0, 2 / 3],
        "sensitivity": [empty, empty, 2 / 3],
        "specificity": [0.75, 1.0, empty],
    }
    for name, scores in expected.items():
        assert METRICS[name](counts, empty=empty).tolist() == pytest.approx(scores), name
    assert METRICS["accuracy"](torch.zeros(4), empty=empty).item() == empty


def test_leading_dimensions_are_kept():
    counts = torch.randint(0, 9, (2, 3, 5, 4), generator=torch.Generator().manual_seed(0))
    for name, metric in METRICS.items():
        scores = metric(counts)
        assert scores.shape == (2, 3, 5)
        assert scores[1, 2, 4] == metric(counts[1, 2, 4]), name


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
def test_bounds_and_relations(values):
    counts = torch.tensor(values)
    scores = {name: metric(counts).item() for name, metric in METRICS.items()}
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores["dice"] == pytest.approx(2 * scores["jaccard"] / (1 + scores["jaccard"]), abs=1e-12)
    assert scores["threshold_jaccard"] in (0, scores["jaccard"])
    assert scores["jaccard"] <= scores["sensitivity"]


def test_registry():
    assert list(METRICS) == NAMES
    assert all("empty" in inspect.signature(metric).parameters for metric in METRICS.values())
    assert get_metric("jaccard") is jaccard
    with pytest.raises(InputError, match="unknown metric 'iou'; choose one of dice, jaccard"):
        get_metric("iou")
    with pytest.raises(InputError, match=r"counts have shape \(2, 3\)"):
        jaccard(torch.zeros(2, 3))

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from dermaseg_monai.metrics import METRICS, SegmentationMetric
from dermaseg_monai.utils.errors import InputError
from tests.metrics.reference import exact_scores, mask_pairs

PAIRS = mask_pairs(60, seed=2)
PREDICTIONS = [torch.from_numpy(prediction)[None] for prediction, _ in PAIRS]
TARGETS = [torch.from_numpy(target)[None] for _, target in PAIRS]


@pytest.mark.parametrize("name", METRICS)
def test_mean_over_images_of_any_size(name):
    metric = SegmentationMetric(name)
    for start in range(0, len(PAIRS), 7):  # the last batch is smaller
        metric(PREDICTIONS[start : start + 7], TARGETS[start : start + 7])
    scores = [float(exact_scores(prediction, target)[name]) for prediction, target in PAIRS]
    assert metric.per_image().flatten().tolist() == pytest.approx(scores, abs=1e-12)
    assert metric.aggregate().item() == pytest.approx(np.mean(scores), abs=1e-12)
    assert len(metric) == len(PAIRS)


def test_batches_and_channels():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand((2, 6, 5, 9, 9), generator=generator) > 0.6
    metric = SegmentationMetric("jaccard")
    counts = metric(prediction, target)
    assert counts.shape == (6, 5, 4)
    per_channel = metric.aggregate(per_channel=True)
    assert per_channel.shape == (5,)
    intersection = (prediction & target).sum(dim=(2, 3)).double()
    expected = (intersection / (prediction | target).sum(dim=(2, 3))).mean(dim=0)
    torch.testing.assert_close(per_channel, expected)
    assert metric.aggregate().item() == pytest.approx(expected.mean().item())
    expected_micro = intersection.sum() / (prediction | target).sum()
    assert metric.aggregate("pooled_micro").item() == pytest.approx(expected_micro.item())


def test_reset_and_continue():
    metric = SegmentationMetric("dice")
    metric(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert metric.aggregate().item() == 1
    metric(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert metric.aggregate().item() == 0.5
    metric.reset()
    with pytest.raises(InputError, match="no images to score"):
        metric.aggregate()
    metric(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert metric.aggregate().item() == 0


def test_empty_policy_reaches_the_score():
    nothing = torch.zeros(3, 1, 4, 4)
    for empty in (0.0, 1.0):
        metric = SegmentationMetric("jaccard", empty=empty)
        metric(nothing, nothing)
        assert metric.aggregate().item() == empty


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda metric: pickle.loads(pickle.dumps(metric))])
def test_copies_are_independent(clone):
    metric = SegmentationMetric("threshold_jaccard", reduction="pooled_macro", empty=0.0)
    metric(PREDICTIONS, TARGETS)
    duplicate = clone(metric)
    assert duplicate.aggregate().item() == metric.aggregate().item()
    duplicate.reset()
    assert len(metric) == len(PAIRS)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match="unknown metric 'iou'"):
        SegmentationMetric("iou")
    with pytest.raises(InputError, match="unknown reduction 'mean'"):
        SegmentationMetric(reduction="mean")
    metric = SegmentationMetric()
    with pytest.raises(InputError, match="no target"):
        metric(torch.zeros(1, 1, 2, 2))
    with pytest.raises(InputError, match="2 predictions came with 1 targets"):
        metric(PREDICTIONS[:2], TARGETS[:1])
    with pytest.raises(InputError, match="0 predictions came with 0 targets"):
        metric([], [])

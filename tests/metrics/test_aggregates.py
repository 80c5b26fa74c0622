from __future__ import annotations

import math

import pytest
import torch

from dermaseg_monai.metrics import aggregate, image_mean, normalised_pool, pooled, pooled_micro, present_mean
from dermaseg_monai.utils.errors import InputError

# Two images, of 10 and of 100 pixels; three channels: in both images, in the second alone, in neither.
COUNTS = torch.tensor(
    [
        [[4, 0, 4, 2], [0, 0, 0, 10], [0, 0, 0, 10]],
        [[10, 10, 0, 80], [30, 10, 10, 50], [0, 20, 0, 80]],
    ]
)


def test_normalised_pool_weighs_images_alike():
    expected = [[0.5, 0.1, 0.4, 1.0], [0.3, 0.1, 0.1, 1.5], [0.0, 0.2, 0.0, 1.8]]
    torch.testing.assert_close(normalised_pool(COUNTS), torch.tensor(expected, dtype=torch.float64))


def test_per_channel_literals():
    assert image_mean(COUNTS, "jaccard").tolist() == pytest.approx([0.5, (1 + 0.6) / 2, (1 + 0) / 2])
    assert pooled(COUNTS, "jaccard").tolist() == pytest.approx([0.5, 0.6, 0.0])
    assert pooled(COUNTS, "dice").tolist() == pytest.approx([2 / 3, 0.75, 0.0])
    present = present_mean(COUNTS, "jaccard").tolist()
    assert present[:2] == pytest.approx([0.5, 0.6])
    assert math.isnan(present[2])


@pytest.mark.parametrize(
    ("metric", "reduction", "expected"),
    [
        ("jaccard", "image_mean", 0.6),
        ("jaccard", "present_mean", 0.55),
        ("jaccard", "pooled_macro", 1.1 / 3),
        ("jaccard", "pooled_micro", 0.8 / 1.7),
        ("dice", "pooled_micro", 1.6 / 2.5),
        ("threshold_jaccard", "image_mean", 0.5 / 1.5),
    ],
)
def test_overall_literals(metric, reduction, expected):
    score = aggregate(COUNTS, metric, reduction)
    assert score.shape == ()
    assert score.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("reduction", ["image_mean", "present_mean", "pooled_macro"])
def test_overall_is_the_mean_of_the_channels(reduction):
    channels = aggregate(COUNTS, "dice", reduction, per_channel=True)
    assert channels.shape == (3,)
    assert aggregate(COUNTS, "dice", reduction).item() == pytest.approx(channels.nanmean().item())


def test_one_channel_micro_equals_macro():
    one = COUNTS[:, :1]
    assert pooled_micro(one, "jaccard").item() == pooled(one, "jaccard").item() == pytest.approx(0.5)


@pytest.mark.parametrize("reduction", ["image_mean", "present_mean", "pooled_macro", "pooled_micro"])
@pytest.mark.parametrize("empty", [0.0, 1.0])
def test_nothing_anywhere_takes_the_empty_score(reduction, empty):
    nothing = torch.tensor([[[0, 0, 0, 9], [0, 0, 0, 9]]])
    assert aggregate(nothing, "jaccard", reduction, empty=empty).item() == empty


@pytest.mark.parametrize(
    ("counts", "arguments", "message"),
    [
        (COUNTS, {"reduction": "mean"}, "unknown reduction 'mean'; choose one of image_mean"),
        (COUNTS, {"reduction": "pooled_micro", "per_channel": True}, "mixes all channels"),
        (COUNTS[:0], {}, r"\(0, 3, 4\); give \(N, C, 4\) of at least one image"),
        (COUNTS[0], {}, r"shape \(3, 4\)"),
    ],
)
def test_wrong_input_is_named(counts, arguments, message):
    with pytest.raises(InputError, match=message):
        aggregate(counts, "jaccard", **arguments)

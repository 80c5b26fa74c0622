"""Distances between boundaries against a search of all pairs of pixels, MONAI's metrics, and what is plain to see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)

from dermaseg_monai.metrics import (
    BOUNDARY_METRICS,
    BOUNDARY_METRICS_MM,
    METRICS,
    boundary_scores,
    lower_is_better,
)
from dermaseg_monai.studies.results import LESION_SCORES
from dermaseg_monai.utils.errors import InputError
from tests.metrics.reference import mask_pairs


def square(size: tuple[int, int], top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def blob(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A lesion with a rough border, which may leave the photo."""
    rows, columns = np.indices(size)
    centre = rng.uniform(0.2, 0.8, 2) * size
    radius = rng.uniform(0.15, 0.5) * min(size)
    return np.hypot(rows - centre[0], columns - centre[1]) < radius * rng.uniform(0.8, 1.2, size)


def by_all_pairs(prediction: np.ndarray, target: np.ndarray, reach: float) -> tuple[float, float, float]:
    """95 % Hausdorff distance, mean distance and surface Dice, from every pixel to every other."""
    edges = []
    for mask in (prediction, target):
        height, width = mask.shape
        edges.append(
            [
                (row, column)
                for row, column in np.argwhere(mask)
                if not all(
                    0 <= r < height and 0 <= c < width and mask[r, c]
                    for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
                )
            ]
        )
    there, back = (
        sorted(min(math.dist(point, other) for other in others) for point in points)
        for points, others in (edges, edges[::-1])
    )

    def percentile(distances: list[float]) -> float:
        rank = 0.95 * (len(distances) - 1)
        low = math.floor(rank)
        high = min(low + 1, len(distances) - 1)
        return distances[low] + (rank - low) * (distances[high] - distances[low])

    both = there + back
    within = sum(distance <= reach for distance in both) / len(both)
    return max(percentile(there), percentile(back)), sum(both) / len(both), within


def test_all_pairs_of_pixels_give_the_same() -> None:
    pairs = [(a, b) for a, b in mask_pairs(60) if a.any() and b.any()]
    assert len(pairs) > 20
    for prediction, target in pairs:
        diagonal = math.hypot(*target.shape)
        scores = boundary_scores(prediction, target, tolerance=0.1)
        expected = by_all_pairs(prediction, target, 0.1 * diagonal)
        assert [scores[name] for name in ("hd95", "assd", "surface_dice")] == pytest.approx(expected)
        assert scores["hd95_share"] == pytest.approx(expected[0] / diagonal)
        assert scores["assd_share"] == pytest.approx(expected[1] / diagonal)


@pytest.mark.parametrize("size", [(48, 64), (33, 20), (1, 30)])
def test_monai_gives_the_same(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        prediction, target = blob(rng, size), blob(rng, size)
        if not (prediction.any() and target.any()):
            continue
        masks = [torch.from_numpy(mask)[None, None] for mask in (prediction, target)]
        scores = boundary_scores(prediction, target, tolerance=0.03)
        hausdorff = compute_hausdorff_distance(*masks, include_background=True, percentile=95)
        surface = compute_average_surface_distance(*masks, include_background=True, symmetric=True)
        dice = compute_surface_dice(*masks, [0.03 * math.hypot(*size)], include_background=True)
        assert scores["hd95"] == pytest.approx(hausdorff.item(), rel=1e-5)
        assert scores["assd"] == pytest.approx(surface.item(), rel=1e-5)
        assert scores["surface_dice"] == pytest.approx(dice.item(), rel=1e-5)


def test_literal_values() -> None:
    target = square((30, 40), 10, 10, 10)
    assert boundary_scores(target, target) == dict.fromkeys(BOUNDARY_METRICS, 0.0) | {"surface_dice": 1.0}
    moved = boundary_scores(square((30, 40), 10, 12, 10), target)
    assert moved == pytest.approx(
        {"hd95": 2, "assd": 1, "surface_dice": 32 / 72, "hd95_share": 2 / 50, "assd_share": 1 / 50}
    )
    # two pixels, 3 and 4 apart
    points = square((8, 6), 1, 1, 1), square((8, 6), 5, 4, 1)
    scores = boundary_scores(*points, tolerance=0.5, pixels_per_mm=10)
    assert scores == pytest.approx(
        {
            "hd95": 5,
            "assd": 5,
            "surface_dice": 1,
            "hd95_share": 0.5,
            "assd_share": 0.5,
            "hd95_mm": 0.5,
            "assd_mm": 0.5,
        }
    )
    assert boundary_scores(*points, tolerance=0.499)["surface_dice"] == 0
    # a distant spot of one pixel in 37 moves the mean, not the 95th percentile
    spotted = target.copy()
    spotted[0, 39] = True
    assert boundary_scores(spotted, target)["hd95"] == 0
    assert boundary_scores(spotted, target)["assd"] == pytest.approx(math.hypot(10, 20) / 73)


def test_empty_masks() -> None:
    lesion, nothing = square((3, 4), 1, 1, 1), np.zeros((3, 4), dtype=bool)
    missed = {"hd95": 5.0, "assd": 5.0, "surface_dice": 0.0, "hd95_share": 1.0, "assd_share": 1.0}
    assert boundary_scores(nothing, lesion) == boundary_scores(lesion, nothing) == missed
    assert boundary_scores(nothing, nothing) == dict.fromkeys(missed, 0.0) | {"surface_dice": 1.0}
    undefined = boundary_scores(nothing, lesion, empty="nan")
    assert undefined.pop("surface_dice") == 0
    assert all(math.isnan(value) for value in undefined.values())
    assert all(math.isnan(value) for value in boundary_scores(nothing, nothing, empty="nan").values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction": np.ones((1, 3, 4))}, r"the prediction has shape \(1, 3, 4\)"),
        ({"prediction": np.ones((4, 3))}, r"shape \(4, 3\) and the target \(3, 4\)"),
        ({"tolerance": -0.1}, "the tolerance is -0.1"),
        ({"pixels_per_mm": 0}, "the scale is 0 pixels per mm"),
        ({"empty": "zero"}, "empty is 'zero'; give one of diagonal, nan"),
    ],
)
def test_bad_arguments(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        boundary_scores(**{"prediction": np.ones((3, 4)), "target": np.ones((3, 4))} | change)


def test_names() -> None:
    assert (*METRICS, *BOUNDARY_METRICS, *BOUNDARY_METRICS_MM) == LESION_SCORES
    assert [name for name in LESION_SCORES if lower_is_better(name)] == [
        "hd95", "assd", "hd95_share", "assd_share", "hd95_mm", "assd_mm",
    ]  # fmt: skip

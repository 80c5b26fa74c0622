"""Regions by runs are those of SciPy, which labels pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dermaseg_monai.utils.regions import Regions

STRUCTURES = {True: np.ones((3, 3), dtype=bool), False: None}


def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (1, 9), (9, 1), (2, 2), (7, 5), (40, 60)]
    noise = [rng.random(shape) < share for shape in shapes for share in (0.1, 0.4, 0.6, 0.9)]
    smooth = [ndimage.gaussian_filter(rng.standard_normal((90, 70)), 3) > level for level in (-0.05, 0, 0.05)]
    return [*noise, *smooth, np.ones((5, 7), dtype=bool), np.zeros((5, 7), dtype=bool)]


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("number", range(len(masks())))
def test_they_are_scipys(number: int, diagonal: bool) -> None:
    mask = masks()[number]
    before = mask.copy()
    labels, count = ndimage.label(mask, structure=STRUCTURES[diagonal])
    regions = Regions(mask, diagonal)
    assert regions.areas.tolist() == np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist()

    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    touching = {int(label) for edge in edges for label in edge} - {0}
    assert set(np.flatnonzero(regions.at_border()) + 1) == touching

    chosen = np.arange(count) % 3 == 1
    removed, added = mask.copy(), ~mask
    regions.paint(chosen, removed, False)
    regions.paint(~chosen, added, True)
    assert np.array_equal(removed, mask & ~np.isin(labels, np.flatnonzero(chosen) + 1))
    assert np.array_equal(added, ~mask | removed)
    assert np.array_equal(mask, before)


def test_literal() -> None:
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=bool)
    assert Regions(mask, diagonal=True).areas.tolist() == [4, 1]
    assert Regions(mask, diagonal=False).areas.tolist() == [1, 2, 1, 1]
    assert Regions(mask, diagonal=False).at_border().tolist() == [True, True, False, True]

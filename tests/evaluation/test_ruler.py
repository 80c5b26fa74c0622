"""Drawn rulers are found, and what only looks like one is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermaseg_monai.datasets.phantoms.artefacts import draw_hairs, draw_ruler
from dermaseg_monai.datasets.phantoms.canvas import Canvas
from dermaseg_monai.evaluation.features import describe
from dermaseg_monai.evaluation.ruler import has_ruler
from dermaseg_monai.evaluation.strata import strata_of

HEIGHT, WIDTH = 192, 256
SEEDS = range(6)


def skin(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """RGB ``(3, H, W)`` from 0 to 1, with a grain."""
    grain = np.random.default_rng(seed).normal(0, 0.012, (1, height, width))
    return (np.array([0.88, 0.67, 0.59])[:, None, None] + grain).astype(np.float32)


def ruler_in(image: np.ndarray) -> bool:
    photo = (255 * image.clip(0, 1)).round().astype(np.uint8).transpose(1, 2, 0)
    return describe(photo, np.zeros(photo.shape[:2]))["ruler"]


def marks(
    shape: tuple[int, int], distance: float, count: int, jitter: float = 0, angle: float = 0
) -> np.ndarray:
    """Grey levels of a dark line with marks of 6 pixels on it, turned about the middle; four times finer inside."""
    fine = np.zeros((4 * shape[0], 4 * shape[1]), np.float32)
    rng = np.random.default_rng(0)
    row, begin = 2 * shape[0], 4 * (shape[1] - distance * count) / 2
    fine[row : row + 4, int(begin) : int(begin + 4 * distance * count)] = 20
    for place in begin + 4 * distance * (np.arange(count + 1) + rng.uniform(-jitter, jitter, count + 1)):
        fine[row - 24 : row, int(place) : int(place) + 4] = 20
    turned = Image.fromarray(fine).rotate(angle, Image.Resampling.BILINEAR)
    return np.asarray(turned.resize(shape[::-1], Image.Resampling.BOX), dtype=np.float64)


@pytest.mark.parametrize("angle", [0, 17, 134])
def test_fine_scales_at_any_angle(angle: int) -> None:
    assert has_ruler(marks((HEIGHT, WIDTH), 5.6, 20, angle=angle))
    # the same marks at unequal distances, and the line without marks, are no ruler
    assert not has_ruler(marks((HEIGHT, WIDTH), 5.6, 20, jitter=0.45, angle=angle))
    assert not has_ruler(marks((HEIGHT, WIDTH), 5.6 * 20, 1, angle=angle))


def test_photos_of_any_size() -> None:
    # large photos are looked at as those of 256 pixels are
    assert has_ruler(np.kron(marks((HEIGHT, WIDTH), 5.6, 20, angle=17), np.ones((3, 3))))
    assert not has_ruler(np.zeros((HEIGHT, WIDTH)))
    assert not has_ruler(np.full((3, 2), 10.0))


def test_broad_marks_without_a_line() -> None:
    thin = np.zeros((HEIGHT, WIDTH))
    for left in range(10, 240, 18):
        thin[150:180, left : left + 4] = 20
    assert has_ruler(thin)
    rng = np.random.default_rng(1)
    thin[:] = 0
    for left in rng.choice(240, 13, replace=False):
        thin[150:180, left : left + 4] = 20
    assert not has_ruler(thin)


def test_rulers_and_hairs_of_the_phantoms() -> None:
    """Of the phantoms' rulers, which may be a sixth of the photo long, most are found; of photos of hair, few."""
    canvas, found, mistaken = Canvas(HEIGHT, WIDTH), 0, 0
    for seed in SEEDS:
        ruled, hairy = skin(seed), skin(seed)
        draw_ruler(canvas, np.random.default_rng(seed + 7), ruled)
        draw_hairs(canvas, np.random.default_rng(seed), hairy, 20)
        found += ruler_in(ruled)
        mistaken += ruler_in(hairy)
        assert not ruler_in(skin(seed))
    assert found >= 4
    assert mistaken <= 1


def test_rulers_make_strata() -> None:
    features = pd.DataFrame({"ruler": [True] * 12 + [False] * 15})
    assert [(stratum.name, int(stratum.members.sum())) for stratum in strata_of(features)] == [
        ("no ruler", 15),
        ("ruler", 12),
    ]

"""Features of drawn photos, of which it is known what they show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from dermaseg_monai.evaluation.features import describe, lab
from dermaseg_monai.utils.errors import InputError

SKIN, LESION = (224, 172, 150), (120, 70, 50)
HEIGHT, WIDTH = 192, 256


def drawn(centre: tuple[int, int] = (96, 128), radius: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A disc of a lesion on skin with a fine grain: photo and mask."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    mask = np.hypot(rows - centre[0], columns - centre[1]) < radius
    photo = np.where(mask[..., None], LESION, SKIN) + np.random.default_rng(0).normal(
        0, 3, (HEIGHT, WIDTH, 1)
    )
    return photo.clip(0, 255).astype(np.uint8), mask


def with_lines(photo: np.ndarray, lines: list[tuple[int, int, int, int]], colour=(60, 45, 40)) -> np.ndarray:
    image = Image.fromarray(photo)
    for line in lines:
        ImageDraw.Draw(image).line(line, fill=colour, width=2)
    return np.asarray(image)


def test_size_place_and_regions() -> None:
    photo, mask = drawn()
    actual = describe(photo, mask)
    assert actual["lesion_share"] == pytest.approx(mask.mean())
    assert (actual["edge_share"], actual["regions"]) == (0, 1)
    mask[:10] = True
    actual = describe(photo, mask)
    assert actual["regions"] == 2
    assert actual["edge_share"] == pytest.approx((WIDTH + 2 * 9) / (2 * WIDTH + 2 * (HEIGHT - 2)))
    # the size that a photo is stored at changes little
    large = describe(np.asarray(Image.fromarray(photo).resize((1024, 768))), np.kron(mask, np.ones((4, 4))))
    assert large["lesion_share"] == pytest.approx(actual["lesion_share"])
    assert large["contrast"] == pytest.approx(actual["contrast"], rel=0.05)
    assert large["skin_tone"] == pytest.approx(actual["skin_tone"], abs=1)


def test_hair() -> None:
    photo, mask = drawn()
    assert describe(photo, mask)["hair_share"] == 0
    lines = [(5, 10 + 25 * index, 250, 30 + 20 * index) for index in range(7)]
    shaggy = with_lines(photo, lines)
    beside = ndimage.distance_transform_edt(~mask) > 0.02 * math.hypot(HEIGHT, WIDTH)
    covered = (np.asarray(shaggy) != photo).any(axis=2)[beside].mean()
    assert describe(shaggy, mask)["hair_share"] == pytest.approx(covered, rel=0.15)
    # fewer hairs are less; short dashes, light hair and a second dark spot are none
    assert 0 < describe(with_lines(photo, lines[:2]), mask)["hair_share"] < 0.5 * covered
    dashes = [(20 * index, 15, 20 * index + 8, 15) for index in range(12)]
    assert describe(with_lines(photo, dashes), mask)["hair_share"] == 0
    assert describe(with_lines(photo, lines, (250, 245, 240)), mask)["hair_share"] < 0.01
    spot = photo.copy()
    spot[10:40, 10:40] = LESION
    assert describe(spot, mask)["hair_share"] == 0


def test_dark_border_of_the_lens() -> None:
    photo, mask = drawn()
    rows, columns = np.indices(mask.shape)
    outside = np.hypot(rows - 96, columns - 128) > 110
    framed = np.where(outside[..., None], np.uint8(5), photo)
    actual, plain = describe(framed, mask), describe(photo, mask)
    assert plain["border_share"] == 0
    assert actual["border_share"] == pytest.approx(outside.mean(), abs=1e-6)
    # neither the border nor its step counts as skin or as sharpness
    assert actual["skin_tone"] == pytest.approx(plain["skin_tone"], abs=0.5)
    assert actual["sharpness"] < 1.4 * plain["sharpness"]
    # a black lesion inside the photo is no border
    assert describe(np.where(mask[..., None], np.uint8(5), photo), mask)["border_share"] == 0


def test_blur() -> None:
    photo, mask = drawn()
    sharp = describe(photo, mask)["sharpness"]
    softer = [
        describe(ndimage.gaussian_filter(photo, (sigma, sigma, 0)), mask)["sharpness"]
        for sigma in (0.7, 1.5, 3)
    ]
    assert sharp > softer[0] > softer[1] > softer[2]
    assert softer[2] < 0.05 * sharp


def test_colours() -> None:
    # the values that the CIE's formulas give for sRGB's primaries and for grey
    expected = [
        (100, 0, 0),
        (0, 0, 0),
        (53.2408, 80.0925, 67.2032),
        (32.297, 79.1875, -107.8602),
        (53.585, 0, 0),
    ]
    colours = lab(np.array([(255,) * 3, (0,) * 3, (255, 0, 0), (0, 0, 255), (128,) * 3]))
    np.testing.assert_allclose(colours, expected, atol=0.02)
    photo, mask = drawn()
    actual = describe(photo, mask)
    skin, lesion = lab(np.array(SKIN)), lab(np.array(LESION))
    assert actual["contrast"] == pytest.approx(np.linalg.norm(skin - lesion), abs=2)
    angle = math.degrees(math.atan2(skin[0] - 50, skin[2]))
    assert actual["skin_tone"] == pytest.approx(angle, abs=2)
    dark = describe(np.where(mask[..., None], (40, 25, 20), (96, 62, 45)).astype(np.uint8), mask)
    assert dark["skin_tone"] < -30 < 28 < actual["skin_tone"]


def test_what_cannot_be_measured() -> None:
    photo, _ = drawn()
    actual = describe(photo, np.ones((HEIGHT, WIDTH)))
    assert all(math.isnan(actual[name]) for name in ("hair_share", "skin_tone", "contrast"))
    assert actual["lesion_share"] == 1
    actual = describe(photo, np.zeros((HEIGHT, WIDTH)))
    assert math.isnan(actual["contrast"])
    assert (actual["lesion_share"], actual["regions"]) == (0, 0)
    with pytest.raises(InputError, match=r"have shapes \(192, 256, 3\) and \(3, 4, 5\)"):
        describe(photo, np.ones((3, 4, 5)))

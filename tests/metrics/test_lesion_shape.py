"""Measurements of shapes whose values are known, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, label, map_coordinates

from dermaseg_monai.metrics.lesion_shape import asymmetry, coverage_grid, greatest_diameter, measure_lesion
from dermaseg_monai.utils.errors import InputError


def plane(size: int, degrees: float = 0) -> tuple[NDArray, NDArray]:
    """Coordinates (x, y) of pixel centres about the middle of a square, in axes turned by ``degrees``."""
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    turn = math.radians(degrees)
    return (
        columns * math.cos(turn) + rows * math.sin(turn),
        rows * math.cos(turn) - columns * math.sin(turn),
    )


def disc(radius: float) -> NDArray[np.bool_]:
    x, y = plane(int(2 * radius) + 20)
    return x**2 + y**2 <= radius**2


def ellipse(a: float, b: float, degrees: float) -> NDArray[np.bool_]:
    x, y = plane(int(2 * a) + 20, degrees)
    return (x / a) ** 2 + (y / b) ** 2 <= 1


def half_disc(radius: float, degrees: float) -> NDArray[np.bool_]:
    x, y = plane(int(2 * radius) + 20, degrees)
    return (x**2 + y**2 <= radius**2) & (y > 0)


@pytest.mark.parametrize("radius", [30, 100, 400])
def test_disc(radius: int) -> None:
    measured = measure_lesion(disc(radius))
    assert measured.area_px == pytest.approx(math.pi * radius**2, rel=5e-3)
    assert measured.diameter_px == pytest.approx(2 * radius, abs=1.5)
    assert measured.border_irregularity == pytest.approx(1, abs=5e-3)
    assert measured.asymmetry == pytest.approx(0, abs=5e-3)
    assert not measured.touches_edge


@pytest.mark.parametrize("degrees", [0, 17, 45, 80])
def test_ellipse_twice_as_long_as_wide(degrees: float) -> None:
    measured = measure_lesion(ellipse(160, 80, degrees))
    assert measured.diameter_px == pytest.approx(320, abs=1.5)
    assert measured.border_irregularity == pytest.approx(1.1888, abs=0.01)  # perimeter 9.6884 for 2 and 1
    assert measured.asymmetry == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("degrees", [0, 17, 45, 80])
def test_half_disc(degrees: float) -> None:
    measured = measure_lesion(half_disc(150, degrees))
    assert measured.diameter_px == pytest.approx(300, abs=2)
    # (pi + 2) ** 2 / (2 pi ** 2), a little less for the smoothed corners
    assert measured.border_irregularity == pytest.approx(1.3393, abs=0.025)
    # one axis matches; about the other, through the centroid at 4 / (3 pi), 18.49 % has no counterpart
    assert measured.asymmetry == pytest.approx(0.0924, abs=0.003)


def test_square() -> None:
    measured = measure_lesion(np.pad(np.ones((300, 300)), 20))
    assert measured.diameter_px == pytest.approx(300 * math.sqrt(2))
    assert measured.border_irregularity == pytest.approx(4 / math.pi, abs=0.03)
    assert measured.asymmetry == pytest.approx(0, abs=1e-3)


def test_notches_make_the_border_irregular() -> None:
    x, y = plane(400)
    angle = np.arctan2(y, x)
    flower = np.hypot(x, y) <= 120 * (1 + 0.2 * np.cos(7 * angle))
    # P² / (4 pi A) of that curve, by quadrature
    assert measure_lesion(flower).border_irregularity == pytest.approx(1.8839, rel=0.02)


@pytest.mark.parametrize("hole", [0, 40])
def test_asymmetry_is_that_of_every_pixel_folded(hole: float) -> None:
    x, y = plane(160)
    egg = (x / (60 + 0.3 * y)) ** 2 + (y / 50) ** 2 <= 1
    egg &= np.hypot(x - 30, y + 45) > hole  # bitten, so that the fullest circle about its centre is small
    shape = gaussian_filter(coverage_grid(egg), 1.6, mode="constant")
    centre = np.array(center_of_mass(shape))[:, None, None]
    away = np.indices(shape.shape) - centre

    def unmatched(degrees: float) -> float:
        cosine, sine = math.cos(math.radians(2 * degrees)), math.sin(math.radians(2 * degrees))
        mirror = np.tensordot([[cosine, sine], [sine, -cosine]], away, 1)
        folded = [
            map_coordinates(shape, centre + side * mirror, order=1, mode="constant") for side in (1, -1)
        ]
        return float(np.maximum(shape - folded, 0).sum() / (2 * shape.sum()))

    lowest = min(unmatched(degrees) for degrees in np.arange(0, 90, 0.5))
    assert lowest > 0.01
    assert asymmetry(coverage_grid(egg)) == pytest.approx(lowest, abs=1e-4)


def test_diameters_of_few_pixels() -> None:
    assert greatest_diameter(np.ones((1, 1))) == pytest.approx(math.sqrt(2))
    assert greatest_diameter(np.ones((1, 10))) == pytest.approx(math.sqrt(101))
    assert greatest_diameter(np.eye(3)) == pytest.approx(3 * math.sqrt(2))


def test_shape_is_that_of_the_largest_region_without_holes() -> None:
    plain = np.pad(disc(60), 30)
    changed = plain.copy()
    changed[100:104, 100:104] = False  # a hole
    changed[5:10, 5:10] = True  # a speck
    first, second = measure_lesion(plain), measure_lesion(changed)
    assert second.area_px == first.area_px - 16 + 25
    assert (second.asymmetry, second.border_irregularity, second.diameter_px) == (
        first.asymmetry,
        first.border_irregularity,
        first.diameter_px,
    )


def test_nothing_found_and_everything_found() -> None:
    nothing = measure_lesion(np.zeros((20, 30)))
    assert (nothing.area_share, nothing.area_px, nothing.touches_edge) == (0, 0, False)
    assert nothing.asymmetry is nothing.border_irregularity is nothing.diameter_px is None
    assert nothing.diameter_mm(10) is None
    everything = measure_lesion(np.ones((30, 40)))
    assert (everything.area_share, everything.touches_edge, everything.diameter_px) == (1, True, 50)


def test_scale() -> None:
    measured = measure_lesion(np.pad(np.ones((30, 40)), 5))
    assert measured.diameter_mm(10) == pytest.approx(5)
    assert measured.area_mm2(10) == pytest.approx(12)
    for scale in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match="above 0"):
            measured.diameter_mm(scale)


@pytest.mark.parametrize("shape", [(0, 4), (2, 3, 4), (5,)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(H, W\)"):
        measure_lesion(np.ones(shape))


blobs = arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))


@settings(max_examples=20, deadline=None)
@given(blobs, st.integers(0, 3), st.booleans(), st.integers(1, 9))
def test_turned_mirrored_and_moved(mask: NDArray, turns: int, mirrored: bool, margin: int) -> None:
    other = np.rot90(mask.T if mirrored else mask, turns)
    other = np.pad(other, ((margin, 1), (1, margin)))
    first, second = measure_lesion(np.pad(mask, 1)), measure_lesion(other)
    assert first.area_px == second.area_px == mask.sum()
    if not mask.any():
        return
    areas = [first.asymmetry, second.asymmetry, first.border_irregularity, second.border_irregularity]
    assert all(value is not None for value in areas)
    assert 0 <= first.asymmetry <= 1
    assert first.border_irregularity >= 1
    if label(mask, structure=np.ones((3, 3)))[1] == 1:  # of equal regions another may come first
        assert second.diameter_px == pytest.approx(first.diameter_px)
        assert second.border_irregularity == pytest.approx(first.border_irregularity, rel=1e-6)
        assert second.asymmetry == pytest.approx(first.asymmetry, abs=0.02)  # the best axes are searched for


@settings(max_examples=4, deadline=None)
@given(st.floats(1, 3), st.floats(0, 180), st.integers(2, 4))
def test_resolution_changes_only_pixels(elongation: float, degrees: float, times: int) -> None:
    mask = ellipse(90 * elongation, 90, degrees)
    first, second = measure_lesion(mask), measure_lesion(np.kron(mask, np.ones((times, times))))
    assert second.area_share == pytest.approx(first.area_share)
    assert second.diameter_px == pytest.approx(times * first.diameter_px)
    assert second.border_irregularity == pytest.approx(first.border_irregularity, rel=0.01)
    assert second.asymmetry == pytest.approx(first.asymmetry, abs=0.005)

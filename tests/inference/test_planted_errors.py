"""What ``scripts/plant_mask_errors.py`` plants, and how it counts what an audit finds of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from scripts import plant_mask_errors
from scripts.plant_mask_errors import ERRORS, Photo, found_rows


def disc(row: int, column: int, radius: float, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


@pytest.fixture
def photos() -> list[Photo]:
    """Sixty discs and predictions that know them."""
    rng = np.random.default_rng(0)
    given = [disc(*rng.integers(16, 32, 2), rng.uniform(6, 12)) for _ in range(60)]
    return [Photo(ndimage.gaussian_filter(mask.astype(np.float32), 1), mask) for mask in given]


def test_what_is_planted(photos: list[Photo]) -> None:
    rng = np.random.default_rng(0)
    given = photos[0].given
    side = np.sqrt(given.sum())
    planted = {kind: error(photos, 0, rng) for kind, error in ERRORS.items()}
    moved = np.subtract(ndimage.center_of_mass(planted["shifted"]), ndimage.center_of_mass(given))
    assert np.hypot(*moved) == pytest.approx(0.3 * side, abs=0.7)
    assert planted["shifted"].sum() == pytest.approx(given.sum(), rel=0.05)
    # a disc of area A has the radius 0.564 of its root
    assert planted["dilated"].sum() / given.sum() == pytest.approx((1 + 0.15 / 0.564) ** 2, rel=0.08)
    assert not np.array_equal(planted["swapped"], given)
    assert any(np.array_equal(planted["swapped"], photo.given) for photo in photos[1:])


def test_a_ranking_that_knows_finds_all_and_one_that_is_blind_finds_its_share(
    photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    knowing = found_rows(photos, "knowing", lambda photo, given: float(given is not photo.given))
    assert knowing[0] == "| knowing: all | 1.00 ± 0.00 | 1.00 ± 0.00 | 1.00 ± 0.00 |"
    assert [row.split(" | ")[0] for row in knowing[1:]] == ["| shifted", "| dilated", "| swapped"]
    monkeypatch.setattr(plant_mask_errors, "SEEDS", range(400))
    blind = found_rows(photos, "blind", lambda photo, given: 0.0)
    shares = [float(cell.split(" ± ")[0]) for cell in blind[0].strip("| ").split(" | ")[1:]]
    assert shares == pytest.approx([0.05, 0.1, 0.2], abs=0.03)

"""Boxes and points from masks."""

from __future__ import annotations

import numpy as np
import pytest

from dermaseg_monai.sam import (
    Prompt,
    box_of_mask,
    jittered_box,
    points_beside,
    points_inside,
    prompt_from_mask,
)
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import disc


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_box_reaches_from_edge_to_edge() -> None:
    mask = np.zeros((10, 20), dtype=np.uint8)
    mask[2:5, 7:13] = 1
    assert box_of_mask(mask) == (7.0, 2.0, 13.0, 5.0)
    assert box_of_mask(np.zeros((3, 3))) is None


def test_jitter_is_proportional_bounded_and_of_both_signs() -> None:
    box, size = (100.0, 200.0, 300.0, 250.0), (1000, 1000)
    small, large = (jittered_box(box, share, size, rng(3)) for share in (0.05, 0.2))
    shifts = np.subtract(large, box)
    np.testing.assert_allclose(shifts, 4 * np.subtract(small, box))
    drawn = np.array([np.subtract(jittered_box(box, 0.1, size, rng(seed)), box) for seed in range(200)])
    assert (np.abs(drawn) <= [20, 5, 20, 5]).all()
    assert (drawn.max(axis=0) > [19, 4.7, 19, 4.7]).all()
    assert (drawn.min(axis=0) < [-19, -4.7, -19, -4.7]).all()
    assert jittered_box(box, 0.0, size, rng()) == box


def test_jitter_stays_within_the_photo() -> None:
    boxes = np.array([jittered_box((0.0, 0.0, 50.0, 40.0), 0.4, (40, 50), rng(seed)) for seed in range(50)])
    assert boxes[:, :2].min() == 0
    assert (boxes[:, 2:] <= [50, 40]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    with pytest.raises(InputError, match="must lie between"):
        jittered_box((0.0, 0.0, 1.0, 1.0), 0.5, (2, 2), rng())


class TestInside:
    def test_first_is_the_centre_of_a_disc(self) -> None:
        (point,) = points_inside(disc((80, 120), (70.5, 30.5), 20), 1)
        assert point == (70.5, 30.5)

    def test_photo_edge_counts_as_outside(self) -> None:
        mask = np.ones((21, 41), dtype=np.uint8)
        ((x, y),) = points_inside(mask, 1)
        assert y == 10.5
        assert 10.5 <= x <= 30.5

    def test_further_ones_are_inside_and_apart(self) -> None:
        mask = disc((200, 200), (100, 100), 60)
        points = np.array(points_inside(mask, 5))
        assert (np.hypot(*(points - 100).T) <= 31).all()  # at least half as deep as the centre
        apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
        assert apart[~np.eye(5, dtype=bool)].min() > 20

    def test_megapixels_are_thinned_but_points_stay_on_the_lesion(self) -> None:
        mask = disc((1500, 2000), (1200, 700), 500)
        points = points_inside(mask, 3)
        assert all(mask[int(y), int(x)] for x, y in points)
        assert points[0] == pytest.approx((1200, 700), abs=4)

    def test_thin_and_tiny_lesions_still_give_a_point(self) -> None:
        mask = np.zeros((1500, 2000), dtype=np.uint8)
        mask[701, 300:1900] = 1
        ((x, y),) = points_inside(mask, 1)
        assert y == 701.5
        assert 300 < x < 1900
        assert points_inside(np.zeros((5, 5)), 2) == ()
        single = np.zeros((5, 5), dtype=np.uint8)
        single[3, 1] = 1
        assert points_inside(single, 4) == ((1.5, 3.5),)


class TestBeside:
    def test_outside_at_a_distance_and_near(self) -> None:
        mask = disc((300, 300), (150, 150), 40)
        points = np.array(points_beside(mask, 6, rng()))
        assert len(points) == 6
        distance = np.hypot(*(points - 150).T)
        assert distance.min() > 40 + 10  # a tenth of the box's diagonal, 11 pixels
        assert np.abs(points - 150).max() <= 81

    def test_without_room_any_pixel_beside_will_do(self) -> None:
        mask = np.ones((20, 20), dtype=np.uint8)
        mask[4, 5] = 0
        assert points_beside(mask, 3, rng()) == ((5.5, 4.5),)
        mask[:] = 1
        assert points_beside(mask, 3, rng()) == ()


class TestPrompt:
    mask = disc((90, 120), (50, 40), 20)

    def test_kinds(self) -> None:
        box = prompt_from_mask(self.mask)
        points = prompt_from_mask(self.mask, "points", points=2, negative_points=3)
        both = prompt_from_mask(self.mask, "box_and_points", negative_points=1)
        assert box == Prompt((30.0, 20.0, 70.0, 60.0))
        assert (points.box, points.labels) == (None, (1, 1, 0, 0, 0))
        assert (both.box, both.labels) == (box.box, (1, 0))
        for point, label in zip(points.points, points.labels, strict=True):
            assert self.mask[int(point[1]), int(point[0])] == label

    def test_same_for_same_seed_and_photo_alone(self) -> None:
        def make(seed: int, name: str) -> Prompt:
            return prompt_from_mask(self.mask, "box_and_points", 1, 2, 0.1, seed, name)

        assert make(1, "a") == make(1, "a")
        assert len({make(1, "a"), make(2, "a"), make(1, "b")}) == 3

    @pytest.mark.parametrize("kind", ["box", "points", "box_and_points"])
    def test_empty_mask_points_at_the_whole_photo(self, kind: str) -> None:
        assert prompt_from_mask(np.zeros((30, 40)), kind) == Prompt((0.0, 0.0, 40.0, 30.0))

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="'circle'"):
            prompt_from_mask(self.mask, "circle")
        with pytest.raises(InputError, match="0 positive and 0 negative"):
            prompt_from_mask(self.mask, "points", points=0)
        with pytest.raises(InputError, match="neither a box nor a point"):
            Prompt()
        with pytest.raises(InputError, match="1 points and 0 labels"):
            Prompt(None, ((1.0, 2.0),))

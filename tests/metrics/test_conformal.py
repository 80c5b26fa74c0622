"""The level of conformal outlines holds on photos drawn like those they were fitted on, whatever the probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from dermaseg_monai.metrics import inner_score, inner_threshold, outer_score, outer_threshold
from dermaseg_monai.utils.errors import InputError


def photo(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A disc, and probabilities that are wrong about its size by a random amount."""
    rows, columns = np.mgrid[:24, :24]
    distance = np.hypot(rows - 12, columns - 12)
    radius = generator.uniform(3, 9)
    probability = 1 / (
        1 + np.exp((distance - radius * generator.uniform(0.5, 1.5)) / generator.uniform(0.5, 3))
    )
    return probability.astype(np.float32), distance <= radius


def test_scores_are_where_the_outlines_just_do() -> None:
    probability = np.array([[0.9, 0.8, 0.3, 0.2], [0.7, 0.6, 0.4, 0.1]])
    mask = np.array([[1, 1, 1, 0], [0, 1, 0, 0]], dtype=bool)
    assert outer_score(probability, mask, 0.0) == 0.3
    assert outer_score(probability, mask, 0.25) == 0.6
    assert inner_score(probability, mask, 0.0) == 0.7
    assert inner_score(probability, mask, 0.25) == 0.4
    assert inner_score(probability, mask, 1.0) == -1.0


def test_thresholds_are_order_statistics() -> None:
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert outer_threshold(scores, 0.9) == 0.1
    assert outer_threshold(scores, 0.8) == 0.2
    assert inner_threshold(scores, 0.9) == 0.9
    assert inner_threshold(scores, 0.5) == 0.5
    # too few photos for the level: all of the photo, and none of it
    assert outer_threshold(scores, 0.95) == 0.0
    assert inner_threshold(scores, 0.95) == 1.0


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_the_level_holds_on_new_photos(level: float) -> None:
    generator, tolerance = np.random.default_rng(0), 0.05
    held = []
    for _ in range(100):
        photos = [photo(generator) for _ in range(60)]
        outer = outer_threshold([outer_score(*one, tolerance) for one in photos[:40]], level)
        inner = inner_threshold([inner_score(*one, tolerance) for one in photos[:40]], level)
        for probability, mask in photos[40:]:
            allowed = tolerance * mask.sum()
            held.append(
                (
                    (mask & (probability < outer)).sum() <= allowed,
                    (~mask & (probability > inner)).sum() <= allowed,
                )
            )
    # a level of 0.9 takes the 37th of 40 scores, which 37 / 41 of new photos hold, on average
    expected = np.ceil(41 * level) / 41
    assert np.mean(held, axis=0) == pytest.approx([expected, expected], abs=0.02)


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match=r"the level must be a number between 0 and 1, not 1"):
        outer_threshold([0.5], 1)
    with pytest.raises(InputError, match="the mask is empty"):
        outer_score(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool), 0.1)

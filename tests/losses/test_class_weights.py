from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from dermaseg_monai.losses import inverse_frequency_weights
from dermaseg_monai.utils.errors import InputError


@pytest.mark.parametrize(
    ("counts", "channels", "expected"),
    [
        ([3, 1], False, [2 / 3, 2.0]),
        ([0.75, 0.25], False, [2 / 3, 2.0]),
        ([5, 5, 5], False, [1.0, 1.0, 1.0]),
        ([1000, 0], False, [1.0, 1.0]),
        ([3, 0, 1], False, [2 / 3, 1.0, 2.0]),
        ([3, 1], True, [0.5, 1.5]),
        ([4, 2, 1], True, [3 / 7, 6 / 7, 12 / 7]),
        ([4, 2, 0, 1], True, [3 / 7, 6 / 7, 1.0, 12 / 7]),
    ],
)
def test_weights(counts: list[float], channels: bool, expected: list[float]) -> None:
    assert inverse_frequency_weights(counts, channels=channels) == pytest.approx(expected)


def test_exclusive_classes_agree_with_scikit_learn() -> None:
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert inverse_frequency_weights([700, 250, 50]) == pytest.approx(expected.tolist())


def test_scale_is_kept() -> None:
    counts = [971, 23, 6]
    weights = inverse_frequency_weights(counts)
    assert np.dot(weights, counts) / np.sum(counts) == pytest.approx(1)
    assert np.mean(inverse_frequency_weights(counts, channels=True)) == pytest.approx(1)


@pytest.mark.parametrize("counts", [[0, 0], [], [5, -1]])
def test_impossible_counts_are_refused(counts: list[float]) -> None:
    with pytest.raises(InputError, match="must not be negative nor all zero"):
        inverse_frequency_weights(counts)

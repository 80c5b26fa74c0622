"""Weights against class imbalance, from how many pixels each class has."""

from __future__ import annotations

from collections.abc import Sequence

from dermaseg_monai.utils.errors import InputError


def inverse_frequency_weights(pixel_counts: Sequence[float], channels: bool = False) -> list[float]:
    """Weights proportional to one over the pixel count, normalised so that the loss keeps its scale.

    Args:
        pixel_counts: pixels of each class in the training set (or shares of them), at least 0.
        channels: what the classes are. False: they divide the pixels among them, like background and lesion,
            or absent and present of one attribute; the average weight of a pixel is then 1. True: each has a
            channel of its own, like the attributes; the average of the weights is then 1.

    Returns:
        A weight per class. A class without a pixel has no frequency: it gets 1, and the others are weighted
        as if it were not there.

    Raises:
        InputError: a count is negative or all are zero.

    Reference: King and Zeng, "Logistic Regression in Rare Events Data", Political Analysis 2001.

    Example:
        >>> inverse_frequency_weights([900, 100])  # background and lesion
        [0.5555555555555556, 5.0]
    """
    present = [count for count in pixel_counts if count > 0]
    if not present or min(pixel_counts) < 0:
        raise InputError(
            f"pixel counts are {list(pixel_counts)}, but must not be negative nor all zero; "
            "count the masks of the training set."
        )
    inverse = sum(1 / count for count in present)
    scale = len(present) / inverse if channels else sum(present) / len(present)
    return [scale / count if count > 0 else 1.0 for count in pixel_counts]

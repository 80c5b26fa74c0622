"""Thresholds whose outlines hold a lesion, or are held by it, on a chosen share of photos.

Split conformal prediction: each photo that the network was not trained on gives the threshold at which its own outline
would just do. An order statistic of these does for a new photo with at least the chosen probability, whatever the
network and the photos, as long as the new photo is drawn like them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dermaseg_monai.utils.errors import InputError


def outer_score(probability: np.ndarray, mask: np.ndarray, tolerance: float) -> float:
    """The highest threshold that keeps a lesion within its outline, but for a share of its pixels.

    Args:
        probability: of the lesion, ``(H, W)``, 0 to 1.
        mask: bool, ``(H, W)``, with at least one pixel.
        tolerance: share of the lesion's pixels that may lie outside, from 0, below 1.

    Returns:
        A threshold for ``probability >= threshold``.

    Raises:
        InputError: the mask is empty.

    Example:
        >>> probability = np.array([[0.9, 0.8, 0.3, 0.1]])
        >>> mask = np.array([[True, True, True, False]])
        >>> outer_score(probability, mask, tolerance=0.0)
        0.3
    """
    inside = np.sort(_checked(probability, mask)[mask])
    return float(inside[math.floor(tolerance * len(inside))])


def inner_score(probability: np.ndarray, mask: np.ndarray, tolerance: float) -> float:
    """The lowest threshold that keeps an outline within the lesion, but for a share of the lesion's pixels.

    Args:
        probability: of the lesion, ``(H, W)``, 0 to 1.
        mask: bool, ``(H, W)``, with at least one pixel.
        tolerance: pixels that are not lesion and may be inside, as a share of the lesion's pixels, from 0.

    Returns:
        A threshold for ``probability > threshold``; -1 where all of the photo may be inside.

    Raises:
        InputError: the mask is empty.

    Example:
        >>> probability = np.array([[0.9, 0.8, 0.3, 0.1]])
        >>> mask = np.array([[True, True, True, False]])
        >>> inner_score(probability, mask, tolerance=0.0)
        0.1
    """
    outside = np.sort(_checked(probability, mask)[~mask])[::-1]
    allowed = math.floor(tolerance * mask.sum())
    return float(outside[allowed]) if allowed < len(outside) else -1.0


def outer_threshold(scores: Sequence[float], level: float) -> float:
    """The threshold whose outline holds a new photo's lesion with at least the probability ``level``.

    Args:
        scores: :func:`outer_score` of each photo.
        level: between 0 and 1.

    Returns:
        For ``probability >= threshold``; 0, the whole photo, where there are too few scores for the level.

    Raises:
        InputError: the level is not between 0 and 1.

    Reference: Angelopoulos and Bates, "A Gentle Introduction to Conformal Prediction", 2021,
        https://arxiv.org/abs/2107.07511

    Example:
        >>> outer_threshold([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], level=0.9)
        0.1
    """
    index = _order(len(scores), level)
    return float(np.sort(scores)[::-1][index]) if index < len(scores) else 0.0


def inner_threshold(scores: Sequence[float], level: float) -> float:
    """The threshold whose outline lies within a new photo's lesion with at least the probability ``level``.

    Args:
        scores: :func:`inner_score` of each photo.
        level: between 0 and 1.

    Returns:
        For ``probability > threshold``; 1, an empty outline, where there are too few scores for the level.

    Raises:
        InputError: the level is not between 0 and 1.

    Reference: Angelopoulos and Bates, "A Gentle Introduction to Conformal Prediction", 2021,
        https://arxiv.org/abs/2107.07511

    Example:
        >>> inner_threshold([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], level=0.9)
        0.9
    """
    index = _order(len(scores), level)
    return float(np.sort(scores)[index]) if index < len(scores) else 1.0


def _order(count: int, level: float) -> int:
    """Index of the order statistic: the ``ceil((n + 1) level)``-th of n."""
    if not 0 < level < 1:
        raise InputError(f"the level must be a number between 0 and 1, not {level}.")
    # rounding first: (9 + 1) * 0.9 is a little more than 9
    return math.ceil(round((count + 1) * level, 9)) - 1


def _checked(probability: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if not mask.any():
        raise InputError("the mask is empty; outlines are fitted on photos that show a lesion.")
    return probability

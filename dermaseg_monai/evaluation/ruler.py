"""Whether a ruler lies in a photo: marks at equal distances along a straight line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

_SIDE = 256  # pixels of the long side at which rulers are looked for
_ANGLES = np.radians(np.arange(180))
_LINES = 10  # straight lines that are looked at
_STRONG = 25.0  # grey levels; what is darker counts no more
_FAINT = 3.0  # grey levels; what is lighter belongs to no line
_MARGIN = 0.015  # of the long side: so near the photo's edge lies the edge of a scan, in steps like marks
_WIDEST = 5  # pixels of a line
_STEP = 0.25  # pixels between the distances of marks that are tried


@dataclass(frozen=True)
class _Kind:
    """A kind of ruler; lengths are shares of the photo's long side.

    Attributes:
        length: of the piece of ruler that is looked for.
        period: least and largest distance of its marks.
        reach: how far from the line marks are looked for.
        drawn: whether the line itself is drawn, and the marks stand on it.
        limit: least regularity.
    """

    length: float
    period: tuple[float, float]
    reach: float
    drawn: bool
    limit: float


# chosen on 200 training photos of ISIC 2018 that were looked at: none of the 85 without a ruler reaches a limit
_KINDS = (
    _Kind(0.36, (0.019, 0.028), 0.022, drawn=True, limit=0.42),  # the thin scale on a dermatoscope's glass
    _Kind(0.50, (0.028, 0.085), 0.035, drawn=False, limit=1.0),  # the broad marks of a ruler on the skin
)


def has_ruler(thin: NDArray[np.floating]) -> bool:
    """Tell whether marks stand at equal distances along a straight line.

    The straightest dark lines are found by a Hough transform. Beside each, the autocorrelation of the profile along the
    line is compared between whole and half multiples of a distance: the marks of a ruler agree at the whole and not at
    the half. Hairs are as straight at times, but not regular.

    It finds scales with a drawn line and about 12 fine marks or more, and about 6 broad marks or more in a row. It does
    not find single marks on the lens's rim, marks along a circle, white marks, scales that hair or ink hides for the
    most part, and marks closer than about 5 pixels.

    Args:
        thin: how much darker than their surroundings thin structures are, in grey levels ``(H, W)``, such as a
            black-hat of the grey photo, 0 where none is looked for.

    Returns:
        Whether there is one.

    Reference:
        Duda and Hart. Use of the Hough transformation to detect lines and curves in pictures. Communications of the ACM
        15(1), 1972.
    """
    strength = np.minimum(_reduced(thin), _STRONG)
    long = max(strength.shape)
    margin = round(_MARGIN * long)
    strength = strength[margin : len(strength) - margin, margin : strength.shape[1] - margin]
    lines = ndimage.white_tophat(strength, size=(_WIDEST, _WIDEST))
    for angle, offset in _straight_lines(lines):
        band = _band(strength, angle, offset, round(max(kind.reach for kind in _KINDS) * long))
        if any(_is_regular(band, kind, long) for kind in _KINDS):
            return True
    return False


def _reduced(thin: NDArray[np.floating]) -> NDArray[np.float64]:
    scale = _SIDE / max(thin.shape)
    if scale >= 1:
        return thin.astype(np.float64)
    height, width = (max(1, round(side * scale)) for side in thin.shape)
    image = Image.fromarray(thin.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.float64)


def _straight_lines(lines: NDArray[np.float64]) -> Iterator[tuple[float, int]]:
    """The angle of each line and its distance from the photo's centre, the clearest line first."""
    height, width = lines.shape
    rows, columns = np.nonzero(lines > _FAINT)
    weight = np.minimum(lines[rows, columns], 10.0)
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    centre = math.ceil(math.hypot(height, width) / 2) + 3
    votes = np.empty((len(_ANGLES), 2 * centre + 1))
    for row, angle in zip(votes, _ANGLES, strict=True):
        place = centre - math.sin(angle) * x + math.cos(angle) * y
        lower = place.astype(np.intp)
        share = place - lower
        row[:] = np.bincount(lower, weight * (1 - share), len(row)) + np.bincount(
            lower + 1, weight * share, len(row)
        )
    votes = ndimage.gaussian_filter1d(votes, 0.8, axis=1)
    votes -= ndimage.uniform_filter1d(votes, 11, axis=1)
    # rows and columns of pixels fall into one bin each, so that the votes of these angles spread the most
    spread = np.median(np.abs(votes[:, centre // 3 : -centre // 3]), axis=1, keepdims=True)
    votes /= spread + 14
    for _ in range(_LINES):
        angle, place = np.unravel_index(votes.argmax(), votes.shape)
        if votes[angle, place] <= 0:
            return
        yield float(_ANGLES[angle]), int(place) - centre
        for near in range(angle - 4, angle + 5):
            turned = not 0 <= near < len(_ANGLES)  # by half a turn a line is on the centre's other side
            at = 2 * centre - place if turned else place
            votes[near % len(_ANGLES), max(0, at - 4) : at + 5] = 0


def _band(strength: NDArray[np.float64], angle: float, offset: int, reach: int) -> NDArray[np.float64]:
    """What lies within ``reach`` of a line, ``(2 * reach + 1, length)``, as far as the line is in the photo."""
    height, width = strength.shape
    half = math.hypot(height, width) / 2
    along, across = np.arange(-half, half)[None], (offset + np.arange(-reach, reach + 1))[:, None]
    x = math.cos(angle) * along - math.sin(angle) * across + (width - 1) / 2
    y = math.sin(angle) * along + math.cos(angle) * across + (height - 1) / 2
    inside = (x[reach] >= 0) & (x[reach] <= width - 1) & (y[reach] >= 0) & (y[reach] <= height - 1)
    return ndimage.map_coordinates(strength, [y[:, inside], x[:, inside]], order=1, mode="constant")


def _is_regular(band: NDArray[np.float64], kind: _Kind, long: int) -> bool:
    """Whether a piece of the band has marks at equal distances."""
    length, reach, middle = round(kind.length * long), round(kind.reach * long), len(band) // 2
    least, most = (share * long for share in kind.period)
    if band.shape[1] < length or least < 2:
        return False
    # marks are a few pixels long
    near = ndimage.uniform_filter1d(band, 3, axis=0)[middle - reach : middle + reach + 1]
    pieces = _pieces(near, length)
    regularity, spread = _regularity(pieces, _comb(length, least, most))
    if kind.drawn:
        regularity[reach - 1 : reach + 2] = 0  # the steps of a slanting hair's own pixels are regular
        line = _pieces(band[middle - 1 : middle + 2].max(axis=0, keepdims=True), length)
        regularity *= np.minimum(line / 6, 1).mean(axis=-1)
    else:
        regularity *= np.minimum(spread / 4, 1)
    return bool((regularity[spread > 0.7] >= kind.limit).any())


def _pieces(rows: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Overlapping pieces of rows, ``(rows, pieces, length)``."""
    return np.lib.stride_tricks.sliding_window_view(rows, length, axis=1)[:, :: max(1, length // 8)]


def _regularity(
    pieces: NDArray[np.float64], comb: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much more pieces ``(..., L)`` agree with themselves at multiples of the best period than between them.

    Gives that, at most about 2, and their standard deviations, both ``(...)``.
    """
    length = pieces.shape[-1]
    centred = pieces - pieces.mean(axis=-1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * length)) ** 2
    agreement = np.fft.irfft(spectrum)[..., :length] / np.arange(length, 0, -1)
    variance = agreement[..., :1]
    agreement = agreement / np.maximum(variance, 0.5)
    best = (agreement @ comb).max(axis=-1)
    return best, np.sqrt(np.maximum(variance[..., 0], 0))


@cache
def _comb(length: int, least: float, most: float) -> NDArray[np.float64]:
    """Weights ``(length, periods)`` that take an autocorrelation's mean at whole multiples less that at half."""
    periods = np.arange(least, most, _STEP)
    comb = np.zeros((length, len(periods)))
    for weights, period in zip(comb.T, periods, strict=True):
        times = np.arange(1, min(int(0.75 * length / period), 8) + 1)
        for places, sign in ((period * times, 1.0), (period * (times - 0.5), -1.0)):
            lower = places.astype(np.intp)  # between two pixels linearly
            np.add.at(weights, lower, sign * (lower + 1 - places) / len(times))
            np.add.at(weights, lower + 1, sign * (places - lower) / len(times))
    return comb

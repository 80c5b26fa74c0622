"""Distances between the boundaries of two masks: how far an outline is off, where overlap says how much of it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from dermaseg_monai.utils.errors import InputError

BOUNDARY_METRICS = ("hd95", "assd", "surface_dice", "hd95_share", "assd_share")
"""The scores of ``boundary_scores`` that need no scale; the first two are in pixels."""

BOUNDARY_METRICS_MM = ("hd95_mm", "assd_mm")
"""The scores of ``boundary_scores`` in mm, where the scale is known."""

TOLERANCE = 0.01
"""How far a boundary may be off for ``surface_dice``, as a share of the photo's diagonal."""

EmptyPolicy = Literal["diagonal", "nan"]


def boundary_scores(
    prediction: NDArray[Any],
    target: NDArray[Any],
    tolerance: float = TOLERANCE,
    pixels_per_mm: float | None = None,
    empty: EmptyPolicy = "diagonal",
) -> dict[str, float]:
    """Score how far the boundary of a mask is from that of another.

    A mask's boundary is those of its pixels that have a side in common with the background or with the photo's edge,
    and distances run between the centres of pixels. Both are MONAI's definitions (``compute_hausdorff_distance``,
    ``compute_average_surface_distance``, ``compute_surface_dice``), and the scores are MONAI's to the last digits of
    float32. The nearest pixel is found by a k-d tree of the other boundary, which is exact, and whose time grows with
    the length of the boundaries rather than with the photo.

    Where a lesion is cut by the photo's edge, the cut belongs to its boundary.

    Args:
        prediction: mask ``(H, W)``, 0 and not 0.
        target: mask of the same shape.
        tolerance: the distance that still counts as right for ``surface_dice``, as a share of the photo's diagonal:
            0.01 is 8 pixels of a photo of 640 x 480.
        pixels_per_mm: the scale, for scores in mm; None where it is not known.
        empty: where exactly one mask is empty there is no distance. ``"diagonal"`` takes the photo's diagonal, the
            largest distance there could be, so that a missed lesion spoils a mean instead of leaving it; ``"nan"``
            says that it is undefined. Two empty masks agree under ``"diagonal"`` (distance 0, surface Dice 1) and are
            undefined under ``"nan"``. The surface Dice is 0 wherever exactly one mask is empty.

    Returns:
        Floats by name:

        - ``hd95``: 95 % Hausdorff distance in pixels: of each boundary's distances to the other the 95th percentile,
          and the larger of the two.
        - ``assd``: average symmetric surface distance in pixels: the mean over the pixels of both boundaries.
        - ``surface_dice``: normalised surface Dice, 0 to 1: the share of both boundaries' pixels within the tolerance.
        - ``hd95_share``, ``assd_share``: the distances divided by the photo's diagonal, 0 to 1, which compare photos
          of different sizes.
        - ``hd95_mm``, ``assd_mm``: the distances in mm; only with a scale.

    Raises:
        InputError: the masks are not two of one shape ``(H, W)``, or an argument is out of range.

    Reference:
        Huttenlocher, Klanderman and Rucklidge. Comparing images using the Hausdorff distance. IEEE Transactions on
        Pattern Analysis and Machine Intelligence 15(9), 1993.
        Heimann et al. Comparison and evaluation of methods for liver segmentation from CT datasets. IEEE Transactions
        on Medical Imaging 28(8), 2009 (average symmetric surface distance).
        Nikolov et al. Clinically applicable segmentation of head and neck anatomy for radiotherapy. Journal of Medical
        Internet Research 23(7), 2021, arXiv:1809.04430 (surface Dice at a tolerance).

    Example:
        >>> import numpy as np
        >>> square = np.zeros((30, 40), dtype=bool)
        >>> square[10:20, 10:20] = True
        >>> scores = boundary_scores(np.roll(square, 2, axis=1), square)
        >>> {name: round(value, 4) for name, value in scores.items()}
        {'hd95': 2.0, 'assd': 1.0, 'surface_dice': 0.4444, 'hd95_share': 0.04, 'assd_share': 0.02}
    """
    prediction, target = _mask(prediction, "prediction"), _mask(target, "target")
    if prediction.shape != target.shape:
        raise InputError(
            f"the prediction has shape {prediction.shape} and the target {target.shape}; bring them to one shape."
        )
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"the tolerance is {tolerance}; give a share of the photo's diagonal of at least 0.")
    if pixels_per_mm is not None and not (math.isfinite(pixels_per_mm) and pixels_per_mm > 0):
        raise InputError(f"the scale is {pixels_per_mm} pixels per mm; give a number above 0.")
    if empty not in get_args(EmptyPolicy):
        raise InputError(f"empty is {empty!r}; give one of {', '.join(get_args(EmptyPolicy))}.")
    diagonal = math.hypot(*target.shape)
    hd95, assd, surface_dice = _distances(prediction, target, tolerance * diagonal, diagonal, empty)
    scores = {
        "hd95": hd95,
        "assd": assd,
        "surface_dice": surface_dice,
        "hd95_share": hd95 / diagonal,
        "assd_share": assd / diagonal,
    }
    if pixels_per_mm is not None:
        scores |= {"hd95_mm": hd95 / pixels_per_mm, "assd_mm": assd / pixels_per_mm}
    return scores


def for_photo(options: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``boundary_scores`` for one photo: its own scale, unless one was given for all.

    Args:
        options: with ``pixels_per_mm``, None where no scale was given.
        item: of :func:`dermaseg_monai.data.load_datalist`, with ``pixels_per_mm`` where its file tells.

    Example:
        >>> for_photo({"pixels_per_mm": None}, {"id": "a", "pixels_per_mm": 40.0})
        {'pixels_per_mm': 40.0}
        >>> for_photo({"pixels_per_mm": 25.0}, {"id": "a", "pixels_per_mm": 40.0})
        {'pixels_per_mm': 25.0}
    """
    if options["pixels_per_mm"] is not None:
        return dict(options)
    return {**options, "pixels_per_mm": item.get("pixels_per_mm")}


def lower_is_better(metric: str) -> bool:
    """Whether a metric is a distance, of which less is better.

    Example:
        >>> lower_is_better("dice"), lower_is_better("hd95")
        (False, True)
    """
    return metric.startswith(("hd95", "assd"))


def _distances(
    prediction: NDArray[np.bool_], target: NDArray[np.bool_], reach: float, diagonal: float, empty: str
) -> tuple[float, float, float]:
    """95 % Hausdorff distance and average symmetric surface distance in pixels, and surface Dice."""
    predicted, present = prediction.any(), target.any()
    if not (predicted and present):
        agree = predicted == present
        if empty == "nan":
            return math.nan, math.nan, math.nan if agree else 0.0
        return (0.0, 0.0, 1.0) if agree else (diagonal, diagonal, 0.0)
    points, others = _boundary(prediction), _boundary(target)
    there, back = _nearest(points, others), _nearest(others, points)
    both = np.concatenate([there, back])
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return float(hd95), float(both.mean()), float((both <= reach).mean())


def _boundary(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows and columns ``(N, 2)`` of the pixels of a mask with a neighbour, by a side, that is not of it."""
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = rows[0], rows[-1] + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = columns[0], columns[-1] + 1
    box = mask[top:bottom, left:right]
    inner = np.zeros_like(box)
    inner[1:-1, 1:-1] = box[:-2, 1:-1] & box[2:, 1:-1] & box[1:-1, :-2] & box[1:-1, 2:]
    row, column = np.divmod(np.flatnonzero(box & ~inner), right - left)
    return np.stack([row + top, column + left], axis=1)


def _nearest(points: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
    """The distance of each of ``points`` to the nearest of ``others``, ``(N,)``."""
    # pixels in long straight lines make a balanced tree slow to search
    return KDTree(others, balanced_tree=False, compact_nodes=False).query(points)[0]


def _mask(mask: NDArray[Any], name: str) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.ndim != 2 or not array.size:
        raise InputError(f"the {name} has shape {array.shape}; give a mask (H, W) with at least one pixel.")
    return array != 0

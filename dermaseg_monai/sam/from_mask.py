"""Prompts from masks: boxes with jitter, points inside and outside, the same for the same seed and photo."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from dermaseg_monai.sam.prompt import KINDS, Box, Point, Prompt
from dermaseg_monai.utils.errors import InputError

_SIDE = 512
"""Points are looked for among this many pixels along the longer side: enough for points, fast for megapixels."""


def box_of_mask(mask: np.ndarray) -> Box | None:
    """The bounding box of a mask.

    Args:
        mask: (H, W), 0 and not 0.

    Returns:
        (left, top, right, bottom) in pixels, right and bottom exclusive; None where the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def jittered_box(box: Box, share: float, size: tuple[int, int], rng: np.random.Generator) -> Box:
    """Move each side of a box by up to ``share`` of the box's extent along that axis, within the photo.

    Args:
        box: (left, top, right, bottom) in pixels.
        share: largest shift, 0 to 0.4 of width or height. For one state of ``rng`` the shifts are proportional
            to it.
        size: (height, width) of the photo.
        rng: source of the shifts; four numbers are drawn whatever the share.

    Returns:
        (left, top, right, bottom) in pixels.

    Raises:
        InputError: ``share`` is out of range.
    """
    check_jitter(share)
    left, top, right, bottom = box
    shift = rng.uniform(-share, share, 4) * ([right - left, bottom - top] * 2)
    limits = (size[1], size[0], size[1], size[0])
    moved = [min(max(side + by, 0.0), limit) for side, by, limit in zip(box, shift, limits, strict=True)]
    return (moved[0], moved[1], moved[2], moved[3])


def points_inside(mask: np.ndarray, count: int) -> tuple[Point, ...]:
    """Points well inside a mask: the deepest first, then each as far as can be from those before.

    Further points keep to pixels at least half as deep as the deepest.

    Args:
        mask: (H, W), 0 and not 0.
        count: how many.

    Returns:
        (x, y) in pixels; fewer where the mask has fewer pixels, none where it is empty.
    """
    box = box_of_mask(mask)
    if box is None or count < 1:
        return ()
    left, top, right, bottom = (int(side) for side in box)
    window = mask[top:bottom, left:right] != 0
    inside, step = _reduced(window)
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    deepest = np.unravel_index(depth.argmax(), depth.shape)
    return _spread(depth >= depth.max() / 2, (int(deepest[0]), int(deepest[1])), count, step, (left, top))


def random_points(mask: np.ndarray, count: int, rng: np.random.Generator) -> tuple[Point, ...]:
    """Points anywhere on a mask, each pixel being as likely.

    Args:
        mask: (H, W), 0 and not 0.
        count: how many.
        rng: chooses them.

    Returns:
        (x, y) in pixels; none where the mask is empty.
    """
    candidates = np.argwhere(mask)
    if not len(candidates):
        return ()
    chosen = candidates[rng.integers(len(candidates), size=count)]
    return tuple((float(column) + 0.5, float(row) + 0.5) for row, column in chosen)


def points_beside(mask: np.ndarray, count: int, rng: np.random.Generator) -> tuple[Point, ...]:
    """Points beside a mask: the first at random, then each as far as can be from those before.

    They lie around the lesion, in its box grown by half its size on each side, and keep a distance of a tenth
    of the box's diagonal from the lesion where there is room for that.

    Args:
        mask: (H, W), 0 and not 0.
        count: how many.
        rng: chooses the first.

    Returns:
        (x, y) in pixels; fewer where there are fewer pixels beside the lesion, none where it fills the photo.
    """
    box = box_of_mask(mask)
    if count < 1:
        return ()
    left, top, right, bottom = (0, 0, mask.shape[1], mask.shape[0])
    margin = 0.0
    if box is not None:
        wide, high = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        left, top = max(0, math.floor(box[0] - wide)), max(0, math.floor(box[1] - high))
        right = min(mask.shape[1], math.ceil(box[2] + wide))
        bottom = min(mask.shape[0], math.ceil(box[3] + high))
        margin = math.hypot(2 * wide, 2 * high) / 10
    inside, step = _reduced(mask[top:bottom, left:right] != 0)
    distance = ndimage.distance_transform_edt(~inside) if inside.any() else np.full(inside.shape, np.inf)
    allowed = (~inside) & (distance >= margin / step)
    if not allowed.any():
        allowed = ~inside
    if not allowed.any():
        return ()
    candidates = np.argwhere(allowed)
    first = candidates[rng.integers(len(candidates))]
    return _spread(allowed, (int(first[0]), int(first[1])), count, step, (left, top))


def prompt_from_mask(
    mask: np.ndarray,
    kind: str = "box",
    points: int = 1,
    negative_points: int = 0,
    jitter: float = 0.0,
    seed: int = 0,
    photo_id: str = "",
) -> Prompt:
    """Make the prompt that a mask implies.

    Where the mask is empty there is nothing to point at: the box around the whole photo is the prompt.

    Args:
        mask: (H, W), 0 and not 0, at the photo's size.
        kind: "box", "points" or "box_and_points".
        points: how many points inside, where points are asked for; at least 1.
        negative_points: how many points beside the lesion, where points are asked for.
        jitter: largest shift of each side of the box, as a share of its width or height, 0 to 0.4.
        seed: start of all randomness.
        photo_id: makes the randomness the photo's own.

    Returns:
        The prompt, in pixels of the photo.

    Raises:
        InputError: kind, numbers of points or jitter are out of range.
    """
    check_kind(kind, points, negative_points)
    size = (mask.shape[0], mask.shape[1])
    rng = photo_rng(seed, photo_id)
    box = jittered_box(box_of_mask(mask) or (0.0, 0.0, float(size[1]), float(size[0])), jitter, size, rng)
    if kind == "box" or not mask.any():
        return Prompt(box)
    inside = points_inside(mask, points)
    outside = points_beside(mask, negative_points, rng)
    labels = (1,) * len(inside) + (0,) * len(outside)
    return Prompt(box if kind == "box_and_points" else None, inside + outside, labels)


def check_kind(kind: str, points: int, negative_points: int, kinds: Sequence[str] = KINDS) -> None:
    """Raise InputError where a prompt of this kind and these numbers of points cannot be made."""
    if kind not in kinds:
        raise InputError(f"the kind of prompt is '{kind}', but it must be one of {', '.join(kinds)}.")
    if points < 1 or negative_points < 0:
        raise InputError(
            f"a prompt of {points} positive and {negative_points} negative points is asked for; give at least 1 "
            "positive and 0 negative ones."
        )


def check_jitter(share: float) -> None:
    """Raise InputError where a box cannot be jittered by this share of its sides."""
    if not 0 <= share <= 0.4:
        raise InputError(f"the jitter of boxes is {share}, but it must lie between 0 and 0.4 of a side.")


def photo_rng(seed: int, photo_id: str) -> np.random.Generator:
    """A generator that depends on the seed and the photo's name alone."""
    digest = hashlib.sha256(f"{seed}\0{photo_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _reduced(mask: np.ndarray) -> tuple[np.ndarray, int]:
    step = -(-max(mask.shape) // _SIDE)
    reduced = mask[step // 2 :: step, step // 2 :: step]
    # thin structures can fall between the samples, and so can the only gap in a lesion
    if not reduced.size or reduced.all() != mask.all() or reduced.any() != mask.any():
        return mask, 1
    return reduced, step


def _spread(
    allowed: np.ndarray, first: tuple[int, int], count: int, step: int, corner: tuple[int, int]
) -> tuple[Point, ...]:
    """Farthest-point sampling among the allowed pixels of a window, as (x, y) of the photo."""
    candidates = np.argwhere(allowed)
    chosen = [np.array(first)]
    nearest = np.full(len(candidates), np.inf)
    while len(chosen) < min(count, len(candidates)):
        nearest = np.minimum(nearest, ((candidates - chosen[-1]) ** 2).sum(axis=1))
        chosen.append(candidates[nearest.argmax()])
    return tuple(
        (float(corner[0] + column * step + step // 2 + 0.5), float(corner[1] + row * step + step // 2 + 0.5))
        for row, column in chosen
    )

"""Simulated clicks: each in the largest error of the mask before it, as interactive-segmentation papers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from dermaseg_monai.sam.prompt import Point


def corrective_click(mask: np.ndarray, truth: np.ndarray) -> tuple[Point, int] | None:
    """The click that an annotator would set next: the innermost pixel of the error that reaches deepest.

    Args:
        mask: (H, W) of 0 and 1, what has been segmented so far.
        truth: (H, W) of 0 and 1, what is meant.

    Returns:
        (x, y) in pixels, and 1 where lesion was missed or 0 where skin was taken for it; None where the masks agree.

    Reference: Sofiiuk et al., "Reviving Iterative Training with Mask Guidance for Interactive Segmentation", 2021.
        arXiv:2102.06583
    """
    missed, surplus = (
        ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        for error in ((truth != 0) & (mask == 0), (truth == 0) & (mask != 0))
    )
    label = int(missed.max() >= surplus.max())
    depth = missed if label else surplus
    if depth.max() == 0:
        return None
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return (float(column) + 0.5, float(row) + 0.5), label


def click_through(
    answer: Callable[[Sequence[Point], Sequence[int], np.ndarray | None], np.ndarray],
    truth: np.ndarray,
    count: int,
) -> list[np.ndarray]:
    """Click until ``count`` clicks are set, each in the largest error that is left; the first near the centre.

    Args:
        answer: gives the mask (H, W) for all clicks so far, their labels and the mask before the last one.
        truth: (H, W) of 0 and 1.
        count: how many clicks.

    Returns:
        The mask after each click; once it equals the truth, it stays.
    """
    points: list[Point] = []
    labels: list[int] = []
    masks: list[np.ndarray] = []
    for _ in range(count):
        before = masks[-1] if masks else None
        click = corrective_click(np.zeros_like(truth) if before is None else before, truth)
        if click is None:
            masks.append(truth if before is None else before)
            continue
        points.append(click[0])
        labels.append(click[1])
        masks.append(answer(points, labels, before))
    return masks


def clicks_needed(scores: np.ndarray, target: float) -> np.ndarray:
    """Number of clicks (NoC) that bring each photo to a target.

    Args:
        scores: (photos, clicks), the intersection over union after each click.
        target: such as 0.85 for NoC@85.

    Returns:
        (photos,), the first click after which the target is reached; where it never is, the number of clicks.
    """
    reached = scores >= target
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, scores.shape[1])

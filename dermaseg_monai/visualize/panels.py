"""Qualitative panels: photos with the outlines of ground truth and prediction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dermaseg_monai.utils.files import atomic_path
from dermaseg_monai.visualize.colours import PREDICTION_COLOUR, TRUTH_COLOUR

_CASES = 2  # of each kind in a panel


@dataclass(frozen=True)
class Case:
    """One photo with its masks.

    Attributes:
        title: what stands above the photo.
        image: uint8 ``(H, W, 3)``, RGB.
        truth: bool ``(H, W)``.
        prediction: bool ``(H, W)``.
    """

    title: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray


def spread(scores: Sequence[float]) -> list[tuple[str, int]]:
    """Choose the two best, median and worst cases.

    Args:
        scores: one score per case, higher is better.

    Returns:
        ``(kind, index)`` with kind "best", "median" or "worst", no index twice.
    """
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    middle = max((len(order) - _CASES) // 2, 0)
    chosen: dict[int, str] = {}
    for kind, indices in (
        ("best", order[:_CASES]),
        ("worst", order[::-1][:_CASES]),
        ("median", order[middle : middle + _CASES]),
    ):
        for index in indices:
            chosen.setdefault(index, kind)
    kinds = ("best", "median", "worst")
    return sorted(((kind, index) for index, kind in chosen.items()), key=lambda pair: kinds.index(pair[0]))


def draw_panel(cases: Sequence[Case], path: str | os.PathLike[str], columns: int = 2) -> None:
    """Draw cases as a grid: each photo as it is, and beside it with both outlines.

    Args:
        cases: what to draw, row by row.
        path: the PNG to write.
        columns: cases per row.
    """
    rows = -(-len(cases) // columns)
    figure = Figure(figsize=(6.4 * columns, 2.75 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, 2 * columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for plain, outlined, case in zip(axes[::2], axes[1::2], cases, strict=False):
        plain.imshow(case.image)
        plain.set_title(case.title, fontsize=9, loc="left")
        outlined.imshow(case.image)
        _outline(outlined, case.truth, TRUTH_COLOUR)
        _outline(outlined, case.prediction, PREDICTION_COLOUR)
    legend = [
        Line2D([], [], color=TRUTH_COLOUR, label="ground truth"),
        Line2D([], [], color=PREDICTION_COLOUR, label="prediction"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _outline(axis: Axes, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.4)

"""Pictures of the five attributes, each in its own fixed colour."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dermaseg_monai.utils.files import atomic_path
from dermaseg_monai.visualize.colours import COLOURS

_FILL = 0.25  # opacity inside the outlines: neighbours and the skin below stay visible


@dataclass(frozen=True)
class AttributeCase:
    """One photo with the masks of its attributes.

    Attributes:
        title: what stands above the photo.
        image: uint8 ``(H, W, 3)``, RGB.
        truth: bool ``(5, H, W)``; None where there is none.
        prediction: bool ``(5, H, W)``.
    """

    title: str
    image: np.ndarray
    truth: np.ndarray | None
    prediction: np.ndarray


def draw_attribute_panel(cases: Sequence[AttributeCase], path: str | os.PathLike[str]) -> None:
    """Draw a row for each case: the photo, the ground truth of all attributes over it, the prediction.

    Args:
        cases: what to draw, row by row.
        path: the PNG to write.
    """
    columns = 3 if any(case.truth is not None for case in cases) else 2
    figure = Figure(figsize=(3.6 * columns, 2.9 * len(cases) + 0.5), layout="constrained")
    rows = figure.subplots(max(len(cases), 1), columns, squeeze=False)
    for axes, case in zip(rows, cases, strict=False):
        masks = [None, case.truth, case.prediction] if columns == 3 else [None, case.prediction]
        names = [case.title, "ground truth", "prediction"] if columns == 3 else [case.title, "prediction"]
        for axis, mask, name in zip(axes, masks, names, strict=True):
            axis.imshow(case.image)
            axis.set_title(name if mask is None else f"{name}: {_named(mask)}", fontsize=7, loc="left")
            if mask is not None:
                _draw(axis, mask)
    for axis in rows.ravel():
        axis.set_axis_off()
    legend = [Patch(color=colour, label=name.replace("_", " ")) for name, colour in COLOURS.items()]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _named(masks: np.ndarray) -> str:
    present = [name.replace("_", " ") for name, mask in zip(COLOURS, masks, strict=True) if mask.any()]
    return ", ".join(present) if present else "none"


def _draw(axis: Axes, masks: np.ndarray) -> None:
    for mask, colour in zip(masks, COLOURS.values(), strict=True):
        if not mask.any():
            continue
        layer = np.zeros((*mask.shape, 4))
        layer[mask] = (*to_rgb(colour), _FILL)
        axis.imshow(layer)
        if not mask.all():
            axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.1)

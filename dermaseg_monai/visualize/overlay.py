"""A photo with its predicted outline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dermaseg_monai.utils.files import write_jpeg
from dermaseg_monai.visualize.colours import PREDICTION_COLOUR

LONGEST_SIDE = 1600
"""Pixels to which larger photos are reduced; an overlay is for looking at."""


def draw_overlay(
    photo: np.ndarray,
    mask: np.ndarray,
    path: str | os.PathLike[str],
    colours: Mapping[str, str] | None = None,
) -> None:
    """Draw the outline of ``mask`` on ``photo``.

    Args:
        photo: uint8 ``(H, W, 3)``, RGB.
        mask: 0 and not 0, ``(H, W)``; or several, ``(C, H, W)``.
        path: the JPEG to write.
        colours: of several masks, by name, in their order; a legend names those that are not empty.
    """
    canvas = Image.fromarray(photo)
    canvas.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    masks = mask[None] if colours is None else mask
    named = {"": PREDICTION_COLOUR} if colours is None else colours
    outlined(canvas, masks, list(named.values()), width=max(1, round(max(canvas.size) / 400)))
    if colours is not None:
        found = [entry for entry, one in zip(colours.items(), masks, strict=True) if one.any()]
        _legend(ImageDraw.Draw(canvas), found, max(11, max(canvas.size) // 50))
    write_jpeg(path, canvas, quality=90)


def outlined(canvas: Image.Image, masks: np.ndarray, colours: Sequence[str], width: int) -> Image.Image:
    """Draw a ring just inside the edge of each mask.

    Args:
        canvas: RGB photo, changed in place.
        masks: 0 and not 0, ``(C, H, W)``, of any size.
        colours: one for each mask.
        width: of the rings, in the canvas's pixels.

    Returns:
        ``canvas``.
    """
    pen = ImageDraw.Draw(canvas)
    for colour, one in zip(colours, masks, strict=True):
        if not one.any():
            continue
        shape = (
            np.asarray(Image.fromarray((one > 0).view(np.uint8) * np.uint8(255)).resize(canvas.size)) >= 128
        )
        ring = shape ^ _eroded(shape, width)
        pen.bitmap((0, 0), Image.fromarray(ring), fill=colour)
    return canvas


def _eroded(shape: np.ndarray, width: int) -> np.ndarray:
    """Take ``width`` layers of pixels off a shape; what lies beyond the picture belongs to no shape.

    The same as SciPy's ``binary_erosion`` with as many iterations, whose import takes longer than a mask.
    """
    padded = np.pad(shape, 1)
    inner = padded[1:-1, 1:-1]
    for _ in range(width):
        inner[:] = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inner


def _legend(pen: ImageDraw.ImageDraw, entries: list[tuple[str, str]], size: int) -> None:
    for row, (name, colour) in enumerate(entries):
        place = (size // 2, size // 2 + row * round(1.4 * size))
        pen.text(
            place,
            name.replace("_", " "),
            fill=colour,
            font=ImageFont.load_default(size),
            stroke_width=max(1, size // 10),
            stroke_fill="black",
        )

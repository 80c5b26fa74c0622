"""A photo with its predicted outline."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from PIL import Image, ImageDraw, ImageFont

from dermaseg_monai.utils.files import stem_of, write_jpeg
from dermaseg_monai.utils.tensors import plain
from dermaseg_monai.visualize.colours import COLOURS, OUTLINE_COLOURS, PREDICTION_COLOUR

LONGEST_SIDE = 1600
"""Pixels to which larger photos are reduced; an overlay is for looking at."""


class KeepPhotod(MapTransform):
    """Keep a photo as it was loaded under ``photo``, for :class:`SaveOverlayd`; reduced to ``LONGEST_SIDE`` pixels.

    Args:
        keys: the photo (3, H, W), uint8.
        allow_missing_keys: skip absent keys.
    """

    def __init__(self, keys: KeysCollection = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            pixels = plain(items[key]).permute(1, 2, 0).numpy()
            if max(pixels.shape) > LONGEST_SIDE:
                photo = Image.fromarray(pixels)
                photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
                pixels = np.asarray(photo)
            items["photo"] = pixels
        return items


class SaveOverlayd(MapTransform):
    """Write the photo of :class:`KeepPhotod` with the outlines of its masks, as ``<stem>.jpg``.

    Five masks are those of the attributes, each in its colour. Where an item has ``outlines``, of
    :class:`~dermaseg_monai.transforms.InnerOuterd`, the inner and the outer one are drawn beside the lesion's own.

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1, whose ``meta`` holds the photo's path as ``filename_or_obj``.
        output_dir: folder for the overlays, made where it is missing.
        allow_missing_keys: skip absent keys.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        output_dir: str | os.PathLike[str] = "overlays",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        photo = items.pop("photo")
        for key in self.key_iterator(items):
            masks = plain(items[key]).numpy()
            path = self.output_dir / f"{stem_of(items[key].meta['filename_or_obj'])}.jpg"
            if len(masks) == len(COLOURS):
                draw_overlay(photo, masks, path, COLOURS)
            elif "outlines" in items:
                around = np.concatenate([plain(items["outlines"]).numpy(), masks])
                draw_overlay(photo, around, path, {**OUTLINE_COLOURS, "lesion": PREDICTION_COLOUR})
            else:
                draw_overlay(photo, masks[0], path)
        return items


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
        present = [entry for entry, one in zip(colours.items(), masks, strict=True) if one.any()]
        _legend(ImageDraw.Draw(canvas), present, max(11, max(canvas.size) // 50))
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
        mask = Image.fromarray((one > 0).view(np.uint8))
        # the mask under each pixel's centre: averages of areas take ten times as long and look the same
        shape = np.asarray(mask.resize(canvas.size, Image.Resampling.NEAREST)) > 0
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
        corner = (size // 2, size // 2 + row * round(1.4 * size))
        pen.text(
            corner,
            name.replace("_", " "),
            fill=colour,
            font=ImageFont.load_default(size),
            stroke_width=max(1, size // 10),
            stroke_fill="black",
        )

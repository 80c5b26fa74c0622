"""Masks from files: whatever their two values are, one 0/1 array that lies on its photo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dermaseg_monai.image_files.photo import opened, orientation_of, reading
from dermaseg_monai.image_files.values import to_8_bit
from dermaseg_monai.utils.errors import InputError

JPEG_MASK = "a JPEG or another lossy file, of which 128 of 255 and more was taken for lesion"
TURNED_MASK = "an orientation tag, which was not followed, since masks are drawn on the upright photo"

_LOSSY = {"JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000"}
_NEAR = 48  # how far lossy compression leads off the two values that a mask had
_NEAR_SHARE = 0.9  # of a mask's pixels; a photo has far fewer near black and white
_LUMINANCE = (299, 587, 114)
_UNTURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What takes back the turn that an orientation tag asks for."""


class Mask(NamedTuple):
    """A mask as it was read.

    Attributes:
        pixels: uint8 array (H, W) of 0 and 1.
        portable: whether the file is an 8-bit grey PNG of 0 and 255 without an orientation tag, which any reader
            takes for the same mask.
        notes: what had to be decided in reading it, among ``JPEG_MASK`` and ``TURNED_MASK``.
    """

    pixels: np.ndarray
    portable: bool
    notes: tuple[str, ...]


def open_mask(path: str | os.PathLike[str], soft: bool = False) -> Mask:
    """Read a mask of two values as 0/1.

    All channels count. The two values may be any (0/1, 0/255, two colours or palette entries, opaque and
    transparent): the more opaque one is lesion, or where both are as opaque, the brighter one. A mask of one value
    is empty where that is black or transparent, and covers the photo where it is white or 1. A lossy file (JPEG) is
    a mask where nearly all its pixels are near black or white; values of at least 128 are lesion then. An EXIF
    orientation is not followed: masks are drawn on upright photos, and a tag is a copied one.

    Args:
        path: the file; of several pages the first is taken.
        soft: take other grey levels too, such as those of smoothed edges: at least 128 of 255 is lesion.

    Returns:
        The mask.

    Raises:
        InputError: the file is missing, empty, damaged, not an image, too large, or no mask: it has more than two
            values, colours of a picture, or one value that says neither lesion nor skin.
    """
    path = Path(path)
    with reading(path), opened(path) as image:
        upright, turned = _unturned(image)
        pixels, lossy = _two_values(upright), False
        if pixels is None:
            lossy = image.format in _LOSSY
            pixels = _levels(_grey(upright, lossy), soft, lossy)
        plain = (
            image.format == "PNG" and image.mode == "L" and turned == 1 and not image.has_transparency_data
        )
        portable = plain and set(image.getextrema()) <= {0, 255}
        notes = (JPEG_MASK,) * lossy + (TURNED_MASK,) * (turned != 1)
        return Mask(pixels.view(np.uint8), portable, notes)


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a mask of two values as a uint8 array (H, W) of 0 and 1.

    Args:
        path: the file.

    Returns:
        The pixels alone of :func:`open_mask`.

    Raises:
        InputError: see :func:`open_mask`.

    Example:
        >>> Image.new("L", (3, 1), 255).save("mask.png")
        >>> read_mask("mask.png")
        array([[1, 1, 1]], dtype=uint8)
    """
    return open_mask(path).pixels


def read_levels(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a map of grey levels, such as a network's probabilities, as a float32 array (H, W), 0 to 1.

    Args:
        path: the file; a mask of any two values is 0 and 1, as in :func:`open_mask`.

    Returns:
        Black is 0, white 1.

    Raises:
        InputError: the file is missing, empty, damaged, not an image, too large, or a picture in colours.
    """
    path = Path(path)
    with reading(path), opened(path) as image:
        upright, _ = _unturned(image)
        pixels = _two_values(upright)
        if pixels is not None:
            return pixels.astype(np.float32)
        return _grey(upright, image.format in _LOSSY).astype(np.float32) / 255


def read_index_map(path: str | os.PathLike[str], channels: int) -> list[np.ndarray]:
    """Read an index map, in which 0 is background and i + 1 is channel i.

    Args:
        path: the file.
        channels: how many there are.

    Returns:
        A uint8 array (H, W) of 0 and 1 for each channel.

    Raises:
        InputError: the file cannot be read, or holds other values.
    """
    path = Path(path)
    with reading(path), opened(path) as image:
        # the indices themselves, not the colours that a palette gives them
        values = np.array(image if image.mode in ("P", "L") or image.mode[0] in "IF" else image.convert("L"))
        if values.max() > channels:
            raise InputError(
                f"an index map holds 0 to {channels}, one label per pixel, but this file has "
                f"{int(values.max())}; give an index map, or put the {channels} masks beside each other."
            )
    return [(values == index + 1).astype(np.uint8) for index in range(channels)]


def _unturned(image: Image.Image) -> tuple[Image.Image, int]:
    """A mask as it was drawn, and the orientation that its tag asks for in vain; decodes the pixels."""
    tag = orientation_of(image) if image.format == "TIFF" else 1  # which Pillow follows in loading
    image.load()  # before the orientation, whose reading would swallow what is wrong with a PNG's pixels
    turned = tag if tag != 1 else orientation_of(image)
    return image.transpose(_UNTURN[tag]) if tag != 1 else image, turned


def _two_values(image: Image.Image) -> np.ndarray | None:
    """Where the lesion is in an image of one or two values (bool), or None where it has more."""
    if image.mode.startswith(("I", "F")):
        values = np.array(image)
        low, high = values.min(), values.max()
        if not np.isfinite([low, high]).all():
            raise InputError("some values of this mask are not finite; write it again with 0 and 255.")
        if low == high:
            return np.full(values.shape, _covers(float(high), (1.0, 255.0, 65535.0)))
        lesion = values == high
        return lesion if (lesion | (values == low)).all() else None
    indices = image.getcolors(2) if image.mode == "P" else None
    one_colour = len(image.convert("RGBA").getcolors() or ()) == 1 if indices is not None else False
    if indices is not None and len(indices) == 2 and one_colour:  # the indices alone tell
        return np.array(image) == max(index for _, index in indices)
    samples = _samples(image)
    colours: Any = samples.getcolors(2)  # pairs of a count and a number, or a tuple of numbers
    if colours is None:
        return None
    values = np.array(samples)
    if len(colours) == 1:
        value = colours[0][1]
        white = (1, 255) if isinstance(value, int) else ((255,) * len(value), (1, 1, 1))
        return np.full(values.shape[:2], _covers(value, white))
    lesion = values == max((value for _, value in colours), key=_rank)
    return lesion if lesion.ndim == 2 else lesion.all(axis=-1)


def _samples(image: Image.Image) -> Image.Image:
    """An image as L, RGB or RGBA; what is wholly transparent in it is black, whatever colour it hides."""
    if image.has_transparency_data:
        rgba = np.array(image.convert("RGBA"))
        rgba[rgba[..., 3] == 0] = 0
        return Image.fromarray(rgba)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _covers(value: Any, white: tuple) -> bool:
    """Whether a mask of one value covers its photo rather than being empty."""
    if value in white:
        return True
    if _rank(value)[:2] in ((255, 0), (0, 0)):
        return False
    raise InputError(
        f"every pixel of this mask is {value}, which says neither lesion nor skin; write it again with 0 and 255."
    )


def _rank(value: Any) -> tuple:
    """The order in which values are taken for lesion: by opacity, then by brightness."""
    if not isinstance(value, tuple):
        return 255, value
    return value[3] if len(value) == 4 else 255, sum(map(int.__mul__, value[:3], _LUMINANCE)), value


def _grey(image: Image.Image, lossy: bool) -> np.ndarray:
    """The grey levels (uint8) of a mask of more than two values."""
    if image.mode.startswith(("I", "F")):
        return to_8_bit(np.array(image))
    values = np.array(_samples(image))
    if values.ndim == 2:
        return values
    if values.shape[-1] == 4:
        opaque = values[values[..., 3] > 0]
        if (opaque[:, :3] == opaque[0, :3]).all():
            return values[..., 3]
        if (values[..., 3] != 255).any():
            raise InputError(
                "the colours and the transparency of this mask say different things; write it again with 0 and 255."
            )
    spread = values[..., :3].max(axis=-1) - values[..., :3].min(axis=-1)
    if (spread > (_NEAR if lossy else 0)).mean() > (0.01 if lossy else 0):
        raise InputError(
            "this is a picture in colours and not a mask of two values; give the mask, with 0 and 255."
        )
    return values[..., :3].max(axis=-1)


def _levels(grey: np.ndarray, soft: bool, lossy: bool) -> np.ndarray:
    """Where a mask of grey levels is at least 128, if it may be read like that."""
    lesion = grey >= 128
    near = np.minimum(grey, 255 - grey) <= _NEAR
    if soft or (lossy and near.mean() >= _NEAR_SHARE):
        if lesion.any():
            return lesion
        raise InputError("no value of this mask reaches 128 of 255; write it again with 0 and 255.")
    raise InputError(
        f"this mask has {len(np.unique(grey))} grey levels, not two values; write it again with 0 and 255, or prepare "
        "it with --soft_masks, which takes 128 of 255 and more for lesion."
    )

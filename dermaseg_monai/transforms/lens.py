"""The dark frame of the dermatoscope's lens, and cropping it away."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from dermaseg_monai.transforms.geometry import Box, check_same_photo, geometry_of, with_geometry
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

_LONG_SIDE = 512  # the frame is looked for on a grid of about this many points along the longer side


def find_lens(pixels: np.ndarray, level: int = 30, min_share: float = 0.02) -> tuple[int, int, int, int]:
    """Find the part of a photo that is not black frame: the bounding box of its largest bright region.

    A frame is at most ``level`` bright in every channel, which skin and lesions hardly are. Dark corners
    alone leave the box whole, as the lens then touches all sides. Where the bright region covers less than a
    quarter of its photo the photo is dark rather than framed, and the box is whole too; so it is where the frame
    is hardly worth cropping.

    Args:
        pixels: uint8 array (H, W, 3).
        level: brightest value of the frame.
        min_share: smallest part of the photo's area worth cropping away, 0 to 1.

    Returns:
        (top, left, bottom, right); in large photos up to H / 512 or W / 512 pixels of the frame may remain.

    Example:
        >>> photo = np.full((100, 120, 3), 200, np.uint8)
        >>> photo[:, :20] = photo[:, 100:] = 0  # black at both sides
        >>> find_lens(photo)
        (0, 20, 100, 100)
    """
    height, width = pixels.shape[:2]
    step = max(1, max(height, width) // _LONG_SIDE)
    bright = pixels[::step, ::step].max(axis=2) > level
    labels, count = ndimage.label(bright)
    whole = (0, 0, height, width)
    if count == 0:
        return whole
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    if areas.max() < bright.size / 4:
        return whole
    rows, columns = ndimage.find_objects(labels)[areas.argmax() - 1]
    # the first bright grid line is at most a step behind the true edge
    top, left = (max(0, (side.start - 1) * step + 1) for side in (rows, columns))
    bottom, right = min(height, rows.stop * step), min(width, columns.stop * step)
    worthwhile = (bottom - top) * (right - left) <= (1 - min_share) * height * width
    return (top, left, bottom, right) if worthwhile else whole


class CropLensd(MapTransform):
    """Crop photo and masks (C, H, W), uint8, to what the lens shows; photos without a frame stay as they are.

    ``meta`` records the crop, so that ``RestoreSized`` puts predictions back to where they belong in the whole
    photo.

    Args:
        keys: items to crop, all showing the same photo; the first is the photo that is looked at.
        level: brightest value of the frame, see :func:`find_lens`.
        min_share: smallest part of the photo's area worth cropping away.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: level or share are out of range, or photo and mask differ in original size.

    Example:
        >>> photo = torch.full((3, 100, 120), 200, dtype=torch.uint8)
        >>> photo[:, :, :20] = photo[:, :, 100:] = 0  # black at both sides
        >>> CropLensd("image")({"image": photo})["image"].shape
        torch.Size([3, 100, 80])
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        level: int = 30,
        min_share: float = 0.02,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not (0 <= level < 255 and 0 <= min_share < 1):
            raise InputError(
                f"level is {level} and min_share {min_share}, but 0 to 254 and 0 to 1 are possible."
            )
        self.level, self.min_share = level, min_share

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        keys = list(self.key_iterator(items))
        if not keys:
            return items
        check_same_photo(items, keys)
        photo = items[keys[0]]
        lens = find_lens(plain(photo).numpy().transpose(1, 2, 0), self.level, self.min_share)
        if lens == (0, 0, *photo.shape[-2:]):
            return items
        # a photo decoded at a reduced size and its mask differ in size: the box is handed on in the photo's
        # pixels
        box = geometry_of(photo).to_photo(lens)
        for key in keys:
            items[key] = _cropped(items[key], box)
        return items


def _cropped(tensor: torch.Tensor, box: Box) -> MetaTensor:
    geometry = geometry_of(tensor)
    height, width = tensor.shape[-2:]
    top, left, bottom, right = (round(side) for side in geometry.from_photo(box))
    top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, height), min(right, width)
    extent = geometry.extent
    moved = (extent[0] - top, extent[1] - left, extent[2] - top, extent[3] - left)
    return with_geometry(tensor[:, top:bottom, left:right], tensor, moved)

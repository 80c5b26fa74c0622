"""Loading of photos and masks from files, dictionary style."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from dermaseg_monai.image_files import Photo, open_photo, read_index_map, read_mask
from dermaseg_monai.transforms.lens import find_lens
from dermaseg_monai.utils.errors import InputError


class LoadPhotod(MapTransform):
    """Load a photo from its path, as a uint8 tensor (3, H, W), RGB.

    The tensor's ``meta`` holds ``filename_or_obj`` (the path), ``original_size`` ((height, width) of the
    full, oriented photo) and ``extent`` ((top, left, bottom, right) of the whole photo in the tensor, in
    pixels), from which :class:`~dermaseg_monai.transforms.geometry.RestoreSized` brings a prediction back to the
    photo.

    Args:
        keys: items that hold the path of one photo each.
        reduce_to: decode JPEG files at a reduced scale with both sides still at least this many pixels, see
            :func:`~dermaseg_monai.image_files.open_photo`. Twice the network's longer side leaves the resampling to
            :class:`~dermaseg_monai.transforms.geometry.Fitd`.
        crop_lens: the photo will be cropped to what the lens shows
            (:class:`~dermaseg_monai.transforms.lens.CropLensd`), whose sides then count for ``reduce_to``.
        allow_missing_keys: skip absent keys.

    Attributes:
        max_pixels: larger photos are refused before they are decoded; None for that of
            :func:`~dermaseg_monai.image_files.open_photo`.

    Raises:
        InputError: an item is no path, or the file cannot be read.

    Example:
        >>> from PIL import Image
        >>> Image.new("RGB", (60, 40)).save("photo.png")
        >>> photo = LoadPhotod("image")({"image": "photo.png"})["image"]
        >>> photo.shape, photo.dtype, photo.meta["original_size"]
        (torch.Size([3, 40, 60]), torch.uint8, (40, 60))
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        reduce_to: int | None = None,
        crop_lens: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reduce_to = reduce_to
        self.crop_lens = crop_lens
        self.max_pixels: int | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            path = _as_path(items[key], key)
            photo = open_photo(path, self.reduce_to, self.max_pixels)
            while self.crop_lens and self._is_too_small(photo):
                photo = open_photo(path, min(photo.pixels.shape[:2]) + 1)  # at the next larger scale
            # a view: the transforms that follow read rows of RGB triples fastest
            tensor = torch.from_numpy(photo.pixels).permute(2, 0, 1)
            meta = {"filename_or_obj": path, "original_size": photo.size, "extent": photo.extent}
            items[key] = MetaTensor(tensor, meta=meta)
        return items

    def _is_too_small(self, photo: Photo) -> bool:
        """Whether what the lens shows was reduced too far."""
        if self.reduce_to is None or photo.pixels.shape[:2] == photo.size:
            return False
        top, left, bottom, right = find_lens(photo.pixels)
        return min(bottom - top, right - left) < self.reduce_to


class LoadMaskd(MapTransform):
    """Load one mask, or several as channels, from the path(s), as a uint8 tensor (C, H, W) of 0 and 1.

    Values are binarised as :func:`~dermaseg_monai.image_files.open_mask` says. ``meta`` is that of
    :class:`LoadPhotod`, named after the first file.

    Args:
        keys: items that hold a path, or a list of paths (the five attribute masks in their fixed order).
        attributes: names of the channels. A single path is then taken for one of the official files where
            ``<stem>_attribute_<name>.png`` of all names lie beside it (named itself like one of them, or
            ``<stem>.png``), and else for an index map, in which 0 is background and i + 1 is channel i.
        allow_missing_keys: skip absent keys.
        size_of: key of the loaded photo that the masks belong to, whose size they must have.

    Raises:
        InputError: an item is no path, a file cannot be read, the files of one item differ in size among each
            other or from their photo, or an index map has other values.

    Example:
        >>> from PIL import Image
        >>> Image.new("L", (60, 40), 255).save("mask.png")
        >>> mask = LoadMaskd("label")({"label": "mask.png"})["label"]
        >>> mask.shape, mask.unique().tolist()
        (torch.Size([1, 40, 60]), [1])
    """

    def __init__(
        self,
        keys: KeysCollection = "label",
        attributes: Sequence[str] | None = None,
        allow_missing_keys: bool = False,
        size_of: str | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.attributes = None if attributes is None else list(attributes)
        self.size_of = size_of

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            value = items[key]
            several = isinstance(value, Sequence) and not isinstance(value, str)
            paths = [_as_path(path, key) for path in (value if several else [value])]
            if not paths:
                raise InputError(f"'{key}' is an empty list, but at least one mask path is needed.")
            if self.attributes is not None and not several:
                paths = _beside(paths[0], self.attributes)
            if self.attributes is not None and len(paths) == 1:
                masks = read_index_map(paths[0], len(self.attributes))
                paths = paths * len(masks)
            else:
                masks = [read_mask(path) for path in paths]
            height, width = masks[0].shape
            for path, mask in zip(paths, masks, strict=True):
                if mask.shape != (height, width):
                    raise InputError(
                        f"{path}: this mask is {mask.shape[1]} x {mask.shape[0]} pixels, but {paths[0]} is "
                        f"{width} x {height}; masks of one photo must agree."
                    )
            photo = (
                items[self.size_of].meta if self.size_of is not None else {"original_size": (height, width)}
            )
            if tuple(photo["original_size"]) != (height, width):
                raise InputError(
                    f"{paths[0]}: this mask is {width} x {height} pixels, but its photo "
                    f"{photo['filename_or_obj']} is {photo['original_size'][1]} x {photo['original_size'][0]}."
                )
            tensor = torch.from_numpy(np.stack(masks))
            meta = {
                "filename_or_obj": paths[0],
                "original_size": (height, width),
                "extent": (0.0, 0.0, float(height), float(width)),
            }
            items[key] = MetaTensor(tensor, meta=meta)
        return items


def _beside(path: str, attributes: Sequence[str]) -> list[str]:
    """The official files of the photo that ``path`` is about where they lie beside it, else ``path`` alone."""
    stem = Path(path).stem
    for name in attributes:
        stem = stem.removesuffix(f"_attribute_{name}")
    files = [Path(path).with_name(f"{stem}_attribute_{name}.png") for name in attributes]
    return [str(file) for file in files] if all(file.is_file() for file in files) else [path]


def _as_path(value: Any, key: Hashable) -> str:
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"'{key}' holds a {type(value).__name__}, but the path of a file is needed.")
    return os.fspath(value)

"""Mask files, named and valued as ISIC's."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import SaveImaged

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import stem_of, write_bytes
from dermaseg_monai.utils.tensors import plain


def write_mask(mask: np.ndarray | torch.Tensor, path: str | os.PathLike[str]) -> None:
    """Write a mask as an 8-bit PNG of 0 and 255, whole or not at all.

    Args:
        mask: (H, W) or (1, H, W); what is not 0 is lesion.
        path: the PNG file; its folder is made where it is missing.

    Raises:
        InputError: the mask is of another shape.

    Example:
        >>> write_mask(np.ones((40, 60), np.uint8), "masks/photo_segmentation.png")
    """
    if isinstance(mask, torch.Tensor):
        mask = plain(mask).cpu().numpy()
    array = mask[0] if mask.ndim == 3 and mask.shape[0] == 1 else mask
    if array.ndim != 2:
        raise InputError(f"the mask for {path} has shape {mask.shape}, but (H, W) or (1, H, W) is expected.")
    write_bytes(path, encode_mask(array))


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode a mask as an 8-bit PNG of 0 and 255 (ISO/IEC 15948).

    Args:
        mask: ``(H, W)``; what is not 0 is lesion.

    Example:
        >>> encode_mask(np.ones((40, 60), np.uint8))[1:4]
        b'PNG'
    """
    height, width = mask.shape
    # rows unfiltered: Pillow and libpng try five filters on every row, which helps photos, costs a mask two thirds of
    # its time and makes its file no smaller
    rows = np.empty((height, 1 + width), dtype=np.uint8)
    rows[:, 0] = 0  # a row begins with the number of its filter
    np.not_equal(mask, 0, out=rows[:, 1:].view(bool))
    signed = rows.view(np.int8)
    np.negative(signed, out=signed)  # 1 becomes -1, of 8 bits 255
    # runs of one value alone: as fast as the fastest search for repetitions, and a third of the bytes
    pixels = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),  # 8 bit, grey, not interlaced
        (b"IDAT", pixels.compress(rows.data) + pixels.flush()),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def check_stems(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse photos whose masks would bear one name, before any work is done.

    Args:
        paths: the photos.

    Raises:
        InputError: two photos differ only in folder or suffix.

    Example:
        >>> check_stems(["a/first.jpg", "a/second.jpg"])
    """
    seen: dict[str, str] = {}
    for photo in paths:
        path = os.fspath(photo)
        other = seen.setdefault(stem_of(path), path)
        if other != path:
            raise InputError(f"{other} and {path} would give masks of one name; rename one of them.")


def photo_of(picture: torch.Tensor, key: Hashable) -> str:
    """The path of the photo that a mask or map was made from.

    Args:
        picture: the mask or map.
        key: its key, for the message.

    Raises:
        InputError: its ``meta`` holds no ``filename_or_obj``.
    """
    path = picture.meta.get("filename_or_obj") if isinstance(picture, MetaTensor) else None
    if path is None:
        raise InputError(f"'{key}' does not know its photo's name; restore it before it is saved.")
    return str(path)


class SavePngd(SaveImaged):
    """Base of transforms that write PNG files named after photos.

    It is a ``SaveImaged`` because MONAI Label drops those from a bundle and writes the result itself.

    Args:
        keys: what is written.
        output_dir: folder for the files, made where it is missing.
        suffix: what follows the photo's stem.
        allow_missing_keys: skip absent keys.
    """

    def __init__(
        self, keys: KeysCollection, output_dir: str | os.PathLike[str], suffix: str, allow_missing_keys: bool
    ) -> None:
        super().__init__(
            keys,
            output_dir=Path(output_dir),
            output_postfix=suffix,
            output_ext=".png",
            separate_folder=False,
            allow_missing_keys=allow_missing_keys,
        )
        self.output_dir = Path(output_dir)


class SaveMaskd(SavePngd):
    """Write each mask as a PNG of 0 and 255 at its own size, named after its photo.

    One mask (1, H, W) becomes ``<stem>_<suffix>.png``; with ``attributes``, channel i becomes
    ``<stem>_attribute_<attributes[i]>.png``. The names are those the official scorer expects, so two photos
    of one stem (a.jpg and a.png) cannot both be written: the second is refused, while the same photo again
    replaces its mask.

    Args:
        keys: masks (C, H, W), of 0 and 1, whose ``meta`` holds the photo's path as ``filename_or_obj``.
        output_dir: folder for the masks, made where it is missing.
        suffix: what follows the photo's stem.
        attributes: names of the channels, or None for a single mask.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the photo's name is unknown or taken, or the channels are not as many as the names.

    Example:
        >>> from monai.data import MetaTensor
        >>> mask = MetaTensor(torch.ones(1, 40, 60, dtype=torch.uint8), meta={"filename_or_obj": "photo.jpg"})
        >>> _ = SaveMaskd(output_dir="masks")({"pred": mask})
        >>> os.listdir("masks")
        ['photo_segmentation.png']
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        output_dir: str | os.PathLike[str] = "masks",
        suffix: str = "segmentation",
        attributes: Sequence[str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, output_dir, suffix, allow_missing_keys)
        self.names = [suffix] if attributes is None else [f"attribute_{name}" for name in attributes]
        self._written: dict[tuple[Hashable, str], str] = {}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            mask = items[key]
            if mask.ndim != 3 or mask.shape[0] != len(self.names):
                raise InputError(
                    f"'{key}' has shape {tuple(mask.shape)}, but ({len(self.names)}, H, W) is expected: one "
                    f"channel for each of {', '.join(self.names)}."
                )
            photo = photo_of(mask, key)
            stem = stem_of(photo)
            check_stems([self._written.setdefault((key, stem), photo), photo])
            for channel, name in zip(mask, self.names, strict=True):
                write_mask(channel, self.output_dir / f"{stem}_{name}.png")
        return items

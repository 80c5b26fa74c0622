"""The masks that any program saved, beside the photos of a prepared folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dermaseg_monai.data.datalist import read_labels
from dermaseg_monai.datasets.isic2018 import ATTRIBUTE_SUFFIXES, ATTRIBUTES
from dermaseg_monai.datasets.layouts import photo_of
from dermaseg_monai.image_files import is_photo_name, read_mask
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import as_text, stem_of
from dermaseg_monai.utils.words import counted, first_of

logger = logging.getLogger(__name__)


def find_masks(
    folder: str | os.PathLike[str], items: Sequence[dict[str, Any]], section: str, task: str = "lesion"
) -> dict[str, list[Path]]:
    """The files of each photo's masks.

    A lesion mask has the photo's name, or that with an ending such as ``_segmentation``, and any image format. Masks of
    attributes are named as the challenge names them, ``<id>_attribute_<attribute>.png``, all five of each photo.
    Masks of other photos are named in a warning.

    Args:
        folder: where the masks lie.
        items: of :func:`dermaseg_monai.data.load_datalist`.
        section: of the items, for messages.
        task: "lesion" or "attribute".

    Returns:
        By id, a file, or five in the order of ``ATTRIBUTES``.

    Raises:
        InputError: the folder is missing, a photo has no mask, or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one that holds the masks.")
    ids = {stem_of(item["image"]): item["id"] for item in items} | {item["id"]: item["id"] for item in items}
    channels = ATTRIBUTES if task == "attribute" else ("",)
    files: dict[str, dict[str, Path]] = {item["id"]: {} for item in items}
    others: list[str] = []
    for path in sorted(folder.iterdir()):
        named = _mask_name(path, task, ids)
        if named is None:
            continue
        name, channel = named
        if name not in ids:
            others.append(as_text(path.name))
        elif channel in files[ids[name]]:
            twice = files[ids[name]][channel].name
            raise InputError(f"{folder} has two masks of {name}, {twice} and {path.name}; keep one of them.")
        else:
            files[ids[name]][channel] = path
    lacking = [name for name, channel_files in files.items() if len(channel_files) < len(channels)]
    if lacking:
        what = "a mask" if task == "lesion" else f"all {len(ATTRIBUTES)} attribute masks"
        raise InputError(
            f"{len(lacking)} of the {len(items)} {section} photos lack {what} in {folder} ({first_of(lacking)}); add "
            "them (of zeros where nothing was found), or give another --section."
        )
    if others:
        logger.warning("%s in %s not scored: of no %s photo", counted(others, "mask"), folder, section)
    return {name: [channel_files[channel] for channel in channels] for name, channel_files in files.items()}


def read_pair(item: dict[str, Any], files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The masks of a program and the true ones, both uint8 ``(C, H, W)`` of 0 and 1.

    Args:
        item: of :func:`dermaseg_monai.data.load_datalist`.
        files: of the masks, one for each true one.

    Raises:
        InputError: a file cannot be read, or differs in size from the true mask.
    """
    truth = read_labels(item)
    masks = [read_mask(path) for path in files]
    for path, mask, true in zip(files, masks, truth, strict=True):
        if mask.shape != true.shape:
            height, width = true.shape
            raise InputError(
                f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels, but the true mask of {item['id']} has "
                f"{width} x {height}; bring the mask to that size."
            )
    return np.stack(masks), truth


def _mask_name(path: Path, task: str, ids: dict[str, str]) -> tuple[str, str] | None:
    """The photo and the channel of a mask by its file's name; None where the file is none."""
    if path.name.startswith(".") or path.is_dir() or not is_photo_name(path.name):
        return None
    stem = stem_of(path)
    for attribute, suffix in ATTRIBUTE_SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return (stem[: -len(f"_attribute_{attribute}")], attribute) if task == "attribute" else None
    if task == "attribute" or stem.endswith("_uncertainty"):
        return None
    return photo_of(stem, ids), ""

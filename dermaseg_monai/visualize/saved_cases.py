"""Cases of a panel from files: a photo with its true masks and those that a run has saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermaseg_monai.image_files import read_mask, read_photo
from dermaseg_monai.utils.files import stem_of
from dermaseg_monai.visualize.attributes import AttributeCase
from dermaseg_monai.visualize.panels import Case

LONGEST_SIDE = 640
"""Pixels to which a case is reduced for its panel."""


def saved_case(title: str, item: dict[str, Any], folder: Path) -> Case:
    """One photo with its lesion mask and the one saved in ``folder``, at a readable size."""
    mask = folder / f"{stem_of(item['image'])}_segmentation.png"
    arrays = (read_photo(item["image"]), read_mask(item["label"]), read_mask(mask))
    image, truth, prediction = (_reduced(array) for array in arrays)
    return Case(title, image, truth > 0, prediction > 0)


def saved_attribute_case(
    title: str, item: dict[str, Any], folder: Path, attributes: Sequence[str]
) -> AttributeCase:
    """One photo with its attribute masks and those saved in ``folder``, at a readable size."""
    stem = stem_of(item["image"])
    truth = [_reduced(read_mask(path)) > 0 for path in item["label"]]
    saved = [_reduced(read_mask(folder / f"{stem}_attribute_{name}.png")) > 0 for name in attributes]
    return AttributeCase(title, _reduced(read_photo(item["image"])), np.stack(truth), np.stack(saved))


def _reduced(array: np.ndarray) -> np.ndarray:
    scale = min(1.0, LONGEST_SIDE / max(array.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in array.shape[:2])
    resample = Image.Resampling.BOX if array.ndim == 3 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(array).resize((width, height), resample))

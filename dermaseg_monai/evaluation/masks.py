"""Scores of the masks that any program saved, as an evaluation of a bundle writes them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from dermaseg_monai.data import load_datalist
from dermaseg_monai.data.saved_masks import find_masks, read_pair
from dermaseg_monai.datasets.isic2018 import ATTRIBUTES
from dermaseg_monai.handlers.attribute_scores import score_attributes, write_attribute_scores
from dermaseg_monai.handlers.lesion_scores import score_lesion, write_lesion_scores
from dermaseg_monai.metrics.boundary import TOLERANCE, for_photo
from dermaseg_monai.utils.threads import bounded_map


def evaluate_masks(
    masks: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    section: str = "test",
    task: str = "lesion",
    surface_tolerance: float = TOLERANCE,
    pixels_per_mm: float | None = None,
) -> pd.DataFrame:
    """Score saved masks against those of a prepared folder.

    Writes ``metrics.csv`` and ``summary.json`` as an evaluation of a bundle does.

    Args:
        masks: folder of masks, see :func:`dermaseg_monai.data.saved_masks.find_masks`; nothing else of the program that
            made them is needed.
        output_dir: folder to write into.
        dataset_dir: folder that ``prepare`` wrote.
        section: "training", "validation" or "test".
        task: "lesion" or "attribute".
        surface_tolerance: of the surface Dice, a share of the photo's diagonal.
        pixels_per_mm: the scale of all photos, for distances in mm; None for each photo's own, where it is known.

    Returns:
        ``metrics.csv``: a row per image, or per image and attribute.

    Raises:
        InputError: a photo has no mask, or a mask cannot be read or has another size than the photo's own.
    """
    items = load_datalist(dataset_dir, section, task)
    files = find_masks(masks, items, section, task)
    scale: dict[str, Any] = {"surface_tolerance": surface_tolerance, "pixels_per_mm": pixels_per_mm}
    settings: dict[str, Any] = {"masks": str(masks), "section": section, **scale}

    def score(item: dict[str, Any]) -> list[dict[str, Any]]:
        pred, label = (torch.from_numpy(mask) for mask in read_pair(item, files[item["id"]]))
        own = for_photo(scale, item)
        rows = (
            score_attributes(pred, label, ATTRIBUTES, **own)
            if task == "attribute"
            else [score_lesion(pred, label, **own)]
        )
        return [{"id": item["id"]} | row for row in rows]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        scored = bounded_map(pool, score, items, ahead=32)
        rows = [row for rows in tqdm(scored, total=len(items), unit="mask", disable=None) for row in rows]
    if task == "attribute":
        return write_attribute_scores(rows, Path(output_dir), [], settings, ATTRIBUTES, {})
    return write_lesion_scores(rows, Path(output_dir), [], settings)

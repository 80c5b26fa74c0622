"""Tiny photos of dark discs on skin, with their masks: what a network of a few weights learns in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SECTIONS = {"training": 8, "validation": 5, "test": 4}


def write_disc(path: Path, seed: int, size: tuple[int, int] = (40, 48)) -> dict[str, Any]:
    """Write one photo and its mask beside it; gives the item of a data list."""
    rng = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    centre = rng.uniform(0.3, 0.7, 2) * size
    radius = rng.uniform(0.15, 0.35) * height
    mask = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    photo = np.where(mask[..., None], (110, 60, 40), (220, 170, 150)) + rng.normal(0, 8, (height, width, 3))
    label = path.with_name(f"{path.stem}_segmentation.png")
    Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(path)
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(label)
    return {"id": path.stem, "image": str(path), "label": str(label)}


def write_discs(folder: Path, count: int, size: tuple[int, int] = (40, 48)) -> list[dict[str, Any]]:
    """Write ``count`` photos; gives their data list."""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_disc(folder / f"disc_{index}.png", index, size) for index in range(count)]


def write_dataset(folder: Path) -> Path:
    """Write a prepared folder: a few photos of each section and their datalist.json."""
    items = iter(write_discs(folder, sum(SECTIONS.values())))
    lists = {
        section: [
            {key: Path(value).name if key != "id" else value for key, value in next(items).items()}
            for _ in range(count)
        ]
        for section, count in SECTIONS.items()
    }
    (folder / "datalist.json").write_text(json.dumps(lists))
    return folder

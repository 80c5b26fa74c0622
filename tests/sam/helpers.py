"""Small promptable networks, and photos with two discs of which a prompt chooses one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dermaseg_monai.sam import SamNetwork

TINY: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 4,
    "encoder_dim": 32,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "global_blocks": [1],
    "window_size": 5,
    "prompt_dim": 32,
    "decoder_heads": 4,
    "decoder_mlp_dim": 64,
}
"""The real classes with few channels: a 16 x 16 embedding, masks at the input's 64 x 64 pixels."""


def tiny_network(seed: int = 0, multimask: bool | None = None, **arguments: Any) -> SamNetwork:
    """A network of the real classes at a tiny size."""
    torch.manual_seed(seed)
    return SamNetwork({**TINY, **arguments}, multimask).eval()


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """uint8 (H, W): 1 within ``radius`` of ``centre`` (x, y)."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    return ((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2).astype(np.uint8)


def two_discs(index: int, size: tuple[int, int] = (48, 64)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photo (H, W, 3) with a disc on each half, and the masks of both."""
    rng = np.random.default_rng(index)
    height, width = size
    masks = [
        disc(size, (rng.uniform(low, low + 0.14) * width, rng.uniform(0.35, 0.65) * height), radius)
        for low, radius in zip((0.18, 0.68), rng.uniform(6, 11, 2), strict=True)
    ]
    photo = np.full((*size, 3), (200, 160, 140), dtype=np.float64)
    for mask in masks:
        photo[mask > 0] = (90, 60, 50)
    photo += rng.normal(0, 6, photo.shape)
    return photo.clip(0, 255).astype(np.uint8), masks[0], masks[1]


def write_discs(folder: Path, count: int, first: int = 0) -> list[dict[str, str]]:
    """Photos with two discs as files, one of the discs being the lesion, as a data list."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for index in range(first, first + count):
        photo, *masks = two_discs(index)
        image, label = folder / f"disc_{index:03d}.png", folder / f"disc_{index:03d}_segmentation.png"
        Image.fromarray(photo).save(image)
        Image.fromarray(masks[index % 2] * np.uint8(255)).save(label)
        items.append({"id": image.stem, "image": str(image), "label": str(label)})
    return items


def write_prepared_discs(folder: Path, training: int, others: int = 4) -> Path:
    """A prepared folder of photos with two discs, of which one is the lesion."""
    items = write_discs(folder / "photos", training + 2 * others)
    sections = {
        "training": items[:training],
        "validation": items[training : training + others],
        "test": items[training + others :],
    }
    (folder / "datalist.json").write_text(json.dumps(sections))
    return folder

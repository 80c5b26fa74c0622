"""Overlays of a lesion, alone and between its inner and outer outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import to_rgb
from monai.data import MetaTensor
from PIL import Image

from dermaseg_monai.visualize.colours import OUTLINE_COLOURS, PREDICTION_COLOUR
from dermaseg_monai.visualize.overlay import SaveOverlayd


def disc(radius: float) -> torch.Tensor:
    rows, columns = np.mgrid[:480, :640] + 0.5
    return torch.from_numpy(((rows - 240) ** 2 + (columns - 320) ** 2 < radius**2).astype(np.uint8))


PALETTE = [*OUTLINE_COLOURS.values(), PREDICTION_COLOUR]


def radii(path: Path) -> list[float | None]:
    """How far from the middle each colour reaches, in tens of pixels; a pixel counts for the colour next to its own."""
    picture = np.asarray(Image.open(path)).astype(int)[:, :, None]
    away = np.abs(picture - np.array([to_rgb(colour) for colour in PALETTE]) * 255).max(axis=-1)
    away[:, :160] = 255  # the legend
    reached: list[float | None] = []
    for index in range(len(PALETTE)):
        rows, columns = np.nonzero((away.argmin(axis=-1) == index) & (away[..., index] < 60))
        radius = np.hypot(rows + 0.5 - 240, columns + 0.5 - 320)
        reached.append(round(float(radius.max()), -1) if len(radius) else None)
    return reached


def test_the_lesion_lies_between_its_outlines(tmp_path: Path) -> None:
    photo = np.full((480, 640, 3), 60, np.uint8)
    pred = MetaTensor(disc(100)[None], meta={"filename_or_obj": "photo.jpg"})
    save = SaveOverlayd(output_dir=tmp_path)
    save({"pred": pred, "photo": photo, "outlines": torch.stack([disc(70), disc(150)])})
    assert radii(tmp_path / "photo.jpg") == [70, 150, 100]

    save({"pred": pred, "photo": photo})
    assert radii(tmp_path / "photo.jpg") == [None, None, 100]

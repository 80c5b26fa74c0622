"""Pictures of attributes: in their colours, and counted as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from dermaseg_monai.datasets import ATTRIBUTES
from dermaseg_monai.visualize import (
    COLOURS,
    AttributeCase,
    attribute_distribution,
    draw_attribute_panel,
    plot_distribution,
)
from dermaseg_monai.visualize.overlay import draw_overlay


def _masks(*present: int) -> np.ndarray:
    masks = np.zeros((5, 60, 80), dtype=bool)
    for index in present:
        masks[index, 10:50, 5 + 15 * index : 15 + 15 * index] = True
    return masks


def _has(path: Path, colour: str) -> bool:
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return bool((np.abs(pixels - np.array(to_rgb(colour)) * 255).max(axis=-1) < 40).any())


def test_colours_follow_the_order_of_the_channels() -> None:
    assert tuple(COLOURS) == tuple(ATTRIBUTES)
    assert len(set(COLOURS.values())) == 5


def test_overlay_shows_what_is_there(tmp_path: Path) -> None:
    masks = _masks(0, 3).repeat(16, axis=1).repeat(16, axis=2)
    draw_overlay(np.full((960, 1280, 3), 60, np.uint8), masks, tmp_path / "overlay.jpg", COLOURS)
    shown = [_has(tmp_path / "overlay.jpg", colour) for colour in COLOURS.values()]
    assert shown == [True, False, False, True, False]


def test_panel_has_a_column_for_the_truth_where_there_is_one(tmp_path: Path) -> None:
    image = np.full((60, 80, 3), 60, np.uint8)
    draw_attribute_panel([AttributeCase("a", image, _masks(1), _masks(1, 2))], tmp_path / "both.png")
    draw_attribute_panel([AttributeCase("a", image, None, _masks(1, 2))], tmp_path / "one.png")
    assert Image.open(tmp_path / "both.png").size[0] > 1.3 * Image.open(tmp_path / "one.png").size[0]


def test_distribution_is_counted_by_section(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(tmp_path / "photo.jpg")
    for name, rows in (("none", 0), ("tenth", 1), ("half", 5)):
        mask = np.zeros((10, 10), np.uint8)
        mask[:rows] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}.png")

    def item(image: str, *names: str) -> dict:
        files = [f"{name}.png" for name in (*names, *["none"] * (5 - len(names)))]
        return {"id": image, "image": "photo.jpg", "label": files}

    lists = {
        "training": [item("a", "half"), item("b", "tenth", "half")],
        "validation": [item("c")],
        "test": [item("d", "tenth")],
    }
    (tmp_path / "datalist.json").write_text(json.dumps(lists))
    table = attribute_distribution(tmp_path)
    assert len(table) == 15
    first, second, third = (table.iloc[row] for row in range(3))
    assert (first["section"], first["attribute"], first["images"]) == ("training", "pigment_network", 2)
    assert first["pixel_share"] == pytest.approx(0.3)
    assert (second["images"], second["image_share"]) == (1, 0.5)
    assert second["pixel_share"] == pytest.approx(0.25)
    assert second["pixel_share_present"] == pytest.approx(0.5)
    assert third["images"] == 0
    assert np.isnan(third["pixel_share_present"])
    plot_distribution(table, tmp_path / "chart.png")
    assert Image.open(tmp_path / "chart.png").size[0] > 1000

"""Curves, panels and overlays hold what they should, where they should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermaseg_monai.visualize import Case, draw_panel, plot_curves, spread
from dermaseg_monai.visualize.overlay import draw_overlay

SIX = ["best", "best", "median", "median", "worst", "worst"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], []),
        ([0.5], [("best", 0)]),
        ([0.1, 0.9], [("best", 1), ("best", 0)]),
        ([0.1, 0.9, 0.5], [("best", 1), ("best", 2), ("worst", 0)]),
        ([0.1, 0.9, 0.5, 0.7, 0.3], [("best", 1), ("best", 3), ("median", 2), ("worst", 0), ("worst", 4)]),
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], list(zip(SIX, [0, 1, 2, 3, 5, 4], strict=True))),
        ([1.0] * 9, list(zip(SIX, [0, 1, 3, 4, 8, 7], strict=True))),
    ],
)  # fmt: skip
def test_spread(scores, expected) -> None:
    assert spread(scores) == expected


def test_curves_are_drawn_with_gaps_and_without_scores(tmp_path) -> None:
    history = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "learning_rate": [0.1, 0.01]})
    plot_curves(history, tmp_path / "plain.png")
    plot_curves(
        history.assign(val_dice=[np.nan, 0.5], train_dice=[0.1, 0.2]), tmp_path / "new" / "scored.png"
    )
    plain, scored = (np.asarray(Image.open(tmp_path / name)) for name in ("plain.png", "new/scored.png"))
    assert plain.shape == scored.shape
    assert (plain != scored).any()


def disc(size: int = 60) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - 30) ** 2 + (columns - 25) ** 2 < 15**2


def test_panel_outlines_both_masks(tmp_path) -> None:
    image = np.full((60, 60, 3), 128, np.uint8)
    empty = np.zeros((60, 60), bool)
    shown = {}
    for name, truth, prediction in (
        ("none", empty, ~empty),
        ("truth", disc(), empty),
        ("both", disc(), disc()[::-1, ::-1]),
    ):
        draw_panel([Case(name, image, truth, prediction)] * 3, tmp_path / f"{name}.png")
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
        cyan = (abs(pixels - (0, 229, 255)) < 30).all(axis=2).sum()
        yellow = (abs(pixels - (255, 214, 0)) < 30).all(axis=2).sum()
        shown[name] = (cyan, yellow)
    assert shown["truth"][0] > 2 * shown["none"][0]  # the legend has some of each colour
    assert shown["truth"][1] == shown["none"][1]
    assert shown["both"][1] > 2 * shown["none"][1]


@pytest.mark.parametrize("size", [(60, 60), (2000, 1000)])
def test_overlay_draws_a_ring_inside_the_edge(tmp_path, size) -> None:
    photo = np.full((*size, 3), 60, np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 1
    draw_overlay(photo, mask, tmp_path / "new" / "overlay.jpg")
    image = Image.open(tmp_path / "new" / "overlay.jpg")
    assert max(image.size) == min(max(size), 1600)
    yellow = np.asarray(image).astype(int)[..., 0] > 150
    rows, columns = yellow.nonzero()
    height, width = yellow.shape
    assert (rows.min() / height, columns.min() / width) == pytest.approx((0.25, 0.25), abs=0.03)
    assert (rows.max() / height, columns.max() / width) == pytest.approx((0.5, 0.5), abs=0.03)
    assert not yellow[round(height * 0.375), round(width * 0.375)]


def test_overlay_of_an_empty_mask_is_the_photo(tmp_path) -> None:
    draw_overlay(np.full((40, 40, 3), 60, np.uint8), np.zeros((40, 40)), tmp_path / "overlay.jpg")
    assert abs(np.asarray(Image.open(tmp_path / "overlay.jpg")).astype(int) - 60).max() <= 2

"""Scores of attribute masks: the distances of their boundaries, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from dermaseg_monai.handlers.attribute_scores import score_attributes, write_attribute_scores

NAMES = ["both", "missed", "imagined", "neither"]


def masks() -> tuple[torch.Tensor, torch.Tensor]:
    """A square of 10 pixels that is found 2 pixels aside, one that is missed, one imagined, and none at all."""
    square = torch.zeros(30, 40, dtype=torch.uint8)
    square[10:20, 10:20] = 1
    nothing = torch.zeros_like(square)
    prediction = torch.stack([square.roll(2, dims=1), nothing, square, nothing])
    return prediction, torch.stack([square, square, nothing, nothing])


def test_distances_of_an_image() -> None:
    rows = score_attributes(*masks(), NAMES, pixels_per_mm=4)
    assert [row["attribute"] for row in rows] == NAMES
    assert [row["hd95"] for row in rows] == pytest.approx([2, math.nan, math.nan, math.nan], nan_ok=True)
    assert [row["assd_mm"] for row in rows] == pytest.approx(
        [0.25, math.nan, math.nan, math.nan], nan_ok=True
    )
    assert [row["surface_dice"] for row in rows] == pytest.approx([4 / 9, 0, 0, math.nan], nan_ok=True)
    assert score_attributes(*masks(), NAMES, surface_tolerance=0.04)[0]["surface_dice"] == 1


def test_means_over_images(tmp_path: Path) -> None:
    prediction, target = masks()
    rows = [{"id": "a", **row} for row in score_attributes(prediction, target, NAMES)]
    rows += [{"id": "b", **row} for row in score_attributes(target, target, NAMES)]
    write_attribute_scores(rows, tmp_path, [], {}, NAMES, {})
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [summary["attributes"][name]["hd95"] for name in NAMES] == [1, 0, None, None]
    surface = [summary["attributes"][name]["surface_dice"] for name in NAMES]
    assert surface == [pytest.approx((4 / 9 + 1) / 2), 0.5, 0, None]
    assert summary["macro"]["hd95"] == 0.5

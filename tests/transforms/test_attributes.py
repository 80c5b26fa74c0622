"""Index maps, fitted labels and measurements on small masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from dermaseg_monai.transforms import (
    CropLensd,
    Fitd,
    FitLabelToImaged,
    IndexMapd,
    LoadMaskd,
    LoadPhotod,
    MeanProbabilityd,
    MeasureMaskd,
    Openingd,
    RemoveSmalld,
)
from dermaseg_monai.utils.errors import InputError

NAMES = ("a", "b", "c")


def test_overlaps_go_to_the_most_probable() -> None:
    masks = torch.tensor([[[1, 1, 0, 0]], [[1, 0, 1, 0]], [[0, 1, 0, 0]]], dtype=torch.uint8)
    probability = torch.tensor([[[0.6, 0.7, 0.9, 0.4]], [[0.8, 0.9, 0.5, 0.3]], [[0.1, 0.9, 0.2, 0.2]]])
    result = IndexMapd()({"pred": masks, "probability": probability})
    assert result["pred"].tolist() == [[[2, 3, 2, 0]]]
    assert "probability" not in result


@pytest.mark.parametrize("aspect", ["squash", "pad"])
def test_fitted_labels_are_those_that_training_sees(tmp_path: Path, aspect: str) -> None:
    photo = np.full((90, 140, 3), 120, dtype=np.uint8)
    photo[:, :30] = photo[:, -20:] = 0  # the frame of a lens
    Image.fromarray(photo).save(tmp_path / "photo.png")
    rows, columns = np.mgrid[:90, :140]
    for name, row in zip(NAMES, (20, 45, 70), strict=True):
        disc = (rows - row) ** 2 + (columns - 75) ** 2 < 300
        Image.fromarray(disc * np.uint8(255)).save(tmp_path / f"{name}.png")
    item = {"image": str(tmp_path / "photo.png"), "label": [str(tmp_path / f"{name}.png") for name in NAMES]}
    fit = Fitd(size=(48, 48), aspect=aspect)
    seen = Compose([LoadPhotod(), LoadMaskd(), CropLensd(), fit])(item)
    shown = Compose(
        [LoadPhotod(), CropLensd("image"), Fitd("image", (48, 48), aspect), LoadMaskd(), FitLabelToImaged()]
    )(item)
    assert shown["label"].shape == (3, 90, 140)
    assert torch.equal(shown["label_fitted"], seen["label"].as_tensor())
    assert shown["label_fitted"].any()


def test_fitting_refuses_masks_of_another_photo() -> None:
    with pytest.raises(InputError, match="must agree"):
        FitLabelToImaged()({"image": torch.zeros(3, 8, 8), "label": torch.zeros(1, 9, 9, dtype=torch.uint8)})


def test_measurements() -> None:
    masks = torch.zeros(2, 4, 5, dtype=torch.uint8)
    masks[0, 1:3, 2:5] = 1
    first, second = MeasureMaskd()({"pred": masks})["measurements"]
    assert first == {"area_share": 0.3, "left": 2, "top": 1, "right": 5, "bottom": 3}
    assert second == {"area_share": 0.0, "left": None, "top": None, "right": None, "bottom": None}


def test_confidence_of_each_channel() -> None:
    probability = torch.tensor([[[0.2, 0.6]], [[0.2, 0.6]], [[0.1, 0.1]]])
    result = MeanProbabilityd(threshold=[0.5, 0.1, 0.5])({"pred": probability})
    assert result["confidence"] == pytest.approx([0.6, 0.4, 0.0])


def test_post_processing_by_channel() -> None:
    speck = torch.zeros(2, 40, 40, dtype=torch.uint8)
    speck[:, 3, 3] = 1
    for transform in (RemoveSmalld(min_share=[0.0, 0.01]), Openingd(radius=[0.0, 0.05])):
        assert transform({"pred": speck})["pred"].sum(dim=(1, 2)).tolist() == [1, 0]
    with pytest.raises(InputError, match="give one, or one for each"):
        RemoveSmalld(min_share=[0.0, 0.0])({"pred": speck[[0, 0, 0]]})


@pytest.mark.parametrize("mode", ["L", "P"])
def test_index_map_becomes_channels(tmp_path: Path, mode: str) -> None:
    index = np.array([[0, 1], [3, 2]], dtype=np.uint8)
    image = Image.fromarray(index)
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "photo.png")
    label = LoadMaskd(attributes=NAMES)({"label": str(tmp_path / "photo.png")})["label"]
    assert label.tolist() == [[[0, 1], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [1, 0]]]


def test_official_files_beside_each_other(tmp_path: Path) -> None:
    for value, name in enumerate(NAMES):
        Image.fromarray(np.full((2, 2), 255 * (value % 2), dtype=np.uint8)).save(
            tmp_path / f"x_attribute_{name}.png"
        )
    for name in ("x.png", "x_attribute_b.png"):
        label = LoadMaskd(attributes=NAMES)({"label": str(tmp_path / name)})["label"]
        assert label.sum(dim=(1, 2)).tolist() == [0, 4, 0]


def test_masks_are_no_index_map(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 255, dtype=np.uint8)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="holds 0 to 3"):
        LoadMaskd(attributes=NAMES)({"label": str(tmp_path / "x.png")})

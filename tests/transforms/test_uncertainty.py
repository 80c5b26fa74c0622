"""Entropy by hand, and heat maps that keep their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from dermaseg_monai.transforms import Entropyd, SaveHeatmapd
from dermaseg_monai.utils.errors import InputError


def test_entropy_in_bits() -> None:
    chance = torch.tensor([[[0.5, 0.25, 0.0, 1.0]]])
    entropy = Entropyd("pred")({"pred": chance})["uncertainty"]
    assert entropy.flatten().tolist() == pytest.approx([1.0, 0.811278, 0.0, 0.0], abs=1e-5)


def test_a_map_of_the_networks_own_stays() -> None:
    uncertainty = torch.ones(1, 1, 1)
    assert (
        Entropyd("pred")({"pred": torch.zeros(1, 1, 1), "uncertainty": uncertainty})["uncertainty"]
        is uncertainty
    )


def test_heat_map_keeps_its_numbers(tmp_path: Path) -> None:
    heat = MetaTensor(
        torch.tensor([[[0.0, 0.5, 1.0], [0.2, 0.4, 2.0]]]), meta={"filename_or_obj": "x/photo.jpg"}
    )
    SaveHeatmapd("uncertainty", tmp_path)({"uncertainty": heat})
    with Image.open(tmp_path / "photo_uncertainty.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == [[0, 128, 255], [51, 102, 255]]
        colours = np.asarray(image.convert("RGB"))
    assert colours[0, 0].sum() < colours[0, 1].sum() < colours[0, 2].sum()


def test_a_map_without_a_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not know its photo's name"):
        SaveHeatmapd("uncertainty", tmp_path)({"uncertainty": torch.zeros(1, 2, 2)})

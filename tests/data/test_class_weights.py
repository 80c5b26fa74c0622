"""Class weights of a small set, and what is written of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.transforms import Lambdad

from dermaseg_monai.data.class_weights import class_weights
from dermaseg_monai.losses import CrossEntropyLoss
from dermaseg_monai.utils.errors import InputError

LABELS = torch.zeros(2, 2, 2, 4, dtype=torch.uint8)
LABELS[0, 0] = 1  # 8 of 16 pixels
LABELS[1, 1, 0, :2] = 1  # 2 of 16
RESIDENT = SimpleNamespace(pixels=SimpleNamespace(labels=LABELS))


def test_presence_balances_each_channel(tmp_path: Path) -> None:
    weights = class_weights(RESIDENT, tmp_path, ("often", "rare"))
    assert weights[0] == pytest.approx([1, 1])
    assert weights[1] == pytest.approx([16 / 28, 4])
    written = json.loads((tmp_path / "class_weights.json").read_text())
    assert written["by"] == "presence"
    assert written["classes"]["rare"] == pytest.approx(
        {"pixel_share": 0.125, "absent": 16 / 28, "present": 4}
    )


def test_attributes_balance_each_other(tmp_path: Path) -> None:
    often, rare = class_weights(RESIDENT, tmp_path, ("often", "rare"), by="attribute")
    assert often == pytest.approx([0.4, 0.4])
    assert rare == pytest.approx([1.6, 1.6])


def test_the_masks_of_dictionary_items_are_counted_before_augmentation(tmp_path: Path) -> None:
    loaded = [{"label": MetaTensor(label)} for label in LABELS]
    empty = Lambdad("label", lambda label: torch.zeros_like(label))
    weights = class_weights(Dataset(loaded, empty), tmp_path, ("often", "rare"))
    assert weights == class_weights(RESIDENT, tmp_path, ("often", "rare"))
    CrossEntropyLoss("multilabel", weights)(torch.zeros(2, 2, 2, 4), LABELS)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not by 'pixel'"):
        class_weights(RESIDENT, tmp_path, ("a", "b"), by="pixel")
    with pytest.raises(InputError, match="2 channels, but 1 names"):
        class_weights(RESIDENT, tmp_path, ("a",))

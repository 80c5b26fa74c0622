"""One image of a prepared folder, drawn with what a lesion bundle makes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from dermaseg_monai.inference.show import show
from dermaseg_monai.networks import UNet
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_dataset
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture(autouse=True)
def excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the bundle sets its own


def test_a_lesion_bundle(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    torch.manual_seed(0)
    torch.save(UNet(features=(4, 8)).state_dict(), tmp_path / "model.pt")
    settings = {
        "ckpt_dir": str(tmp_path),
        "network_def#features": [4, 8],
        "image_size": [32, 32],
        "device": "$torch.device('cpu')",
    }
    by_id = show("lesion_unet", "disc_14", dataset, tmp_path / "id.png", **settings)
    by_index = show("lesion_unet", 1, dataset, tmp_path / "index.png", section="test", **settings)
    other = show("lesion_unet", 0, dataset, tmp_path / "other.png", section="test", **settings)
    pictures = [Image.open(path) for path in (by_id, by_index, other)]
    assert all(picture.width > 200 for picture in pictures)
    assert pictures[0].tobytes() == pictures[1].tobytes() != pictures[2].tobytes()


def test_a_bundle_outside_the_collection(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    run = write_tiny_bundle(tmp_path / "runs" / "seed0", "lesion_unet")
    settings = {"device": "$torch.device('cpu')", "section": "test"}
    assert Image.open(show(str(run), 0, dataset, tmp_path / "case.png", **settings)).width > 200


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    for image, section, words in (
        ("disc_99", None, "has no image 'disc_99' in any section"),
        (4, "test", "there is no image 4 in test, which has 4 from 0 on"),
        (1, None, "1 is an index; say which --section"),
    ):
        with pytest.raises(InputError, match=words):
            show("lesion_unet", image, dataset, tmp_path / "case.png", section=section)

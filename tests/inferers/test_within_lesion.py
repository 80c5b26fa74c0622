"""Attributes inside and outside the lesion that another bundle sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from dermaseg_monai.inferers.within_lesion import WithinLesiond
from dermaseg_monai.transforms import Fitd, LoadPhotod
from dermaseg_monai.utils.errors import InputError
from tests.tiny_bundle import write_tiny_bundle

CPU = {"device": torch.device("cpu"), "amp": False}
PREPARE = Compose([LoadPhotod("image"), Fitd("image", (16, 16), "pad")])


@pytest.fixture(scope="module")
def lesion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lesion bundle that takes what is bright for lesion; it sees the whole photo, squashed."""
    folder = tmp_path_factory.mktemp("bundles") / "bright"
    network = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1}
    return write_tiny_bundle(folder, "lesion_unet", network_def=network, image_size=[40, 60])


@pytest.fixture(autouse=True)
def _weights(lesion: Path) -> None:
    weights = {"weight": torch.ones(1, 3, 1, 1), "bias": torch.zeros(1)}
    torch.save(weights, lesion / "models" / "model.pt")


def restricted(lesion: Path, photo: Path) -> torch.Tensor:
    item = PREPARE({"image": str(photo)})
    item["pred"] = torch.ones(5, 16, 16)
    return WithinLesiond("pred", str(lesion), PREPARE, **CPU)(item)["pred"].as_tensor()


def test_outside_the_lesion_nothing_is_left(lesion: Path, tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:, :30] = 255
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    logits = restricted(lesion, tmp_path / "photo.png")
    assert logits.shape == (5, 40, 60)
    torch.testing.assert_close(logits[..., :30], torch.ones(5, 40, 30), atol=1e-5, rtol=0)
    assert (logits[..., 30:].sigmoid() < 1e-6).all()


def test_photos_without_a_lesion_are_left_alone(lesion: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 60, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    logits = restricted(lesion, tmp_path / "photo.png")
    torch.testing.assert_close(logits, torch.ones(5, 40, 60), atol=1e-5, rtol=0)


def test_only_lesion_bundles_restrict(tmp_path: Path) -> None:
    attributes = write_tiny_bundle(tmp_path / "attributes", "attribute_unet")
    with pytest.raises(InputError, match="give a lesion bundle"):
        WithinLesiond("pred", str(attributes), PREPARE)
    with pytest.raises(InputError, match="takes prompts"):
        WithinLesiond("pred", "lesion_medsam", PREPARE)

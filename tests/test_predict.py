"""Photos in, masks, overlays and a table out."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermaseg_monai.errors import InputError, explained
from dermaseg_monai.networks import UNet
from dermaseg_monai.predict import predict
from tests.data.discs import write_disc

TINY = {
    "network_def#features": [4, 8],
    "image_size": [32, 32],
    "device": "$torch.device('cpu')",
    "amp": False,
}


@pytest.fixture(autouse=True)
def excepthook(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the bundle sets its own


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that calls everything lesion, with a probability of 0.9."""
    folder = tmp_path_factory.mktemp("weights")
    network = UNet(features=(4, 8))
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, float(np.log(9)))
    torch.save(network.state_dict(), folder / "model.pt")
    return folder


def test_a_folder(tmp_path, weights) -> None:
    photos, output = tmp_path / "photos", tmp_path / "output"
    photos.mkdir()
    write_disc(photos / "b.png", 0, (40, 60))
    write_disc(photos / "a.png", 1, (70, 33))
    (photos / "bad.jpg").write_bytes(b"no photo")
    table = predict(photos, output, bundle="lesion_unet", ckpt_dir=str(weights), **TINY)
    assert table["id"].tolist() == ["a", "b"]
    assert table["area_share"].tolist() == [1, 1]
    assert table["confidence"].tolist() == pytest.approx([0.9, 0.9], abs=1e-4)
    assert table[["left", "top", "right", "bottom"]].to_numpy().tolist() == [[0, 0, 33, 70], [0, 0, 60, 40]]
    for name, size in (("a", (33, 70)), ("b", (60, 40))):
        mask = Image.open(output / f"{name}_segmentation.png")
        assert mask.size == size
        assert np.unique(mask).tolist() == [255]
        assert Image.open(output / "overlays" / f"{name}.jpg").size == size
    assert "bad" in (output / "failures.csv").read_text()


def test_one_photo(tmp_path, weights) -> None:
    write_disc(tmp_path / "one.png", 0)
    table = predict(
        tmp_path / "one.png", tmp_path / "out", bundle="lesion_unet", ckpt_dir=str(weights), **TINY
    )
    assert table["id"].tolist() == ["one"]
    assert not (tmp_path / "out" / "failures.csv").exists()


def test_unknown_bundles_and_missing_weights(tmp_path) -> None:
    with pytest.raises(InputError, match="'lesion_nothing' is neither"):
        predict(tmp_path, tmp_path / "out", bundle="lesion_nothing")
    folder = tmp_path / "own"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "inference.json").write_text("{}")
    with pytest.raises(InputError, match="own has no weights"):
        predict(tmp_path, tmp_path / "out", bundle=str(folder))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "$torch.device('cuda:99')", "meta", "xla", "hpu"])
def test_a_device_that_is_not_there(device, tmp_path, weights) -> None:
    write_disc(tmp_path / "one.png", 0)
    settings = {**TINY, "ckpt_dir": str(weights), "device": device}
    with pytest.raises(Exception, match=r".") as caught:
        predict(tmp_path / "one.png", tmp_path / "out", bundle="lesion_unet", **settings)
    said = explained(caught.value)
    assert said is not None
    assert said.startswith("there is no such device on this machine (")
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["dataset_dir", "output_dir", "bundle_root"])
def test_places_have_arguments_of_their_own(name, tmp_path) -> None:
    with pytest.raises(InputError, match=f"--{name} can't be given here; .+ says it"):
        predict(tmp_path, tmp_path / "out", **{name: "elsewhere"})

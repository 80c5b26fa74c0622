"""Photos in, masks, overlays and a table out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermaseg_monai.cli.commands import main
from dermaseg_monai.image_files import photo as photo_files
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.networks import UNet
from dermaseg_monai.utils.errors import InputError, explained
from tests.disc_dataset import write_disc

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


def test_a_photo_is_decoded_once_for_mask_and_overlay(tmp_path, weights, monkeypatch) -> None:
    decoded = []
    decode = photo_files._decode_rgb
    monkeypatch.setattr(photo_files, "_decode_rgb", lambda image: decoded.append(image.size) or decode(image))
    photo = Image.effect_noise((640, 480), 60).convert("RGB")
    photo.save(tmp_path / "large.jpg")
    predict(tmp_path / "large.jpg", tmp_path / "out", bundle="lesion_unet", ckpt_dir=str(weights), **TINY)
    assert decoded == [(160, 120)]  # reduced to no less than twice the network's 32 pixels
    assert Image.open(tmp_path / "out" / "overlays" / "large.jpg").size == (160, 120)
    assert Image.open(tmp_path / "out" / "large_segmentation.png").size == (640, 480)


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
    printed = explained(caught.value)
    assert printed is not None
    assert printed.startswith("there is no such device on this machine (")
    assert "\n" not in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["dataset_dir", "output_dir", "bundle_root"])
def test_places_have_arguments_of_their_own(name, tmp_path) -> None:
    with pytest.raises(InputError, match=f"--{name} cannot be given here; use "):
        predict(tmp_path, tmp_path / "out", **{name: "elsewhere"})


def test_names_that_table_readers_take_for_nothing_or_cannot_read(tmp_path, weights) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, name in enumerate((b"NA", b"null", b"007", b"R\xfccken")):
        write_disc(tmp_path / "disc.png", number)
        os.rename(tmp_path / "disc.png", os.path.join(os.fsencode(photos), name + b".png"))
    table = predict(photos, tmp_path / "out", bundle="lesion_unet", ckpt_dir=str(weights), **TINY)
    assert table["id"].tolist() == ["007", "NA", "R%FCcken", "null"]
    text = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 5
    for name in table["id"]:
        assert (tmp_path / "out" / f"{name}_segmentation.png").is_file()
        assert (tmp_path / "out" / "overlays" / f"{name}.jpg").is_file()


def test_files_of_other_kinds_are_taken_by_content_or_named(tmp_path, weights, capsys) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    write_disc(tmp_path / "disc.png", 0)
    with Image.open(tmp_path / "disc.png") as disc:
        disc.save(photos / "a.webp")
        disc.save(photos / "b.avif")
        disc.save(photos / "no_ending", format="JPEG")
    (photos / "IMG_0001.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    for name in ("notes.docx", "raw.nef", "clip.mov", "x.pdf"):
        (photos / name).write_bytes(b"II*\0 and so on")
    table = predict(photos, tmp_path / "out", bundle="lesion_unet", ckpt_dir=str(weights), **TINY)
    assert table["id"].tolist() == ["a", "b", "no_ending"]
    assert "IMG_0001" in (tmp_path / "out" / "failures.csv").read_text()
    printed = capsys.readouterr().out
    assert "passed over 4 files (clip.mov, notes.docx, raw.nef ...)" in printed


def test_masks_of_an_earlier_run_are_named(tmp_path, weights, capsys) -> None:
    for name in ("first", "second"):
        write_disc(tmp_path / f"{name}.png", 0)
        predict(tmp_path / f"{name}.png", tmp_path / "out", "lesion_unet", ckpt_dir=str(weights), **TINY)
    printed = capsys.readouterr().out
    assert "1 mask (first_segmentation.png) in" in printed


def test_a_user_id_without_an_account(monkeypatch, capsys) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setenv("USER", "")
    monkeypatch.setattr(sys, "argv", ["dermaseg", "bundles"])
    main()
    assert os.environ["USER"] == str(os.getuid())
    assert "lesion_unet" in capsys.readouterr().out

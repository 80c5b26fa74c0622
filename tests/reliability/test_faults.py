"""Kills, Ctrl-C and company, as processes meet them; ``scripts/soak.py`` does it for hours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from dermaseg_monai.networks import UNet
from dermaseg_monai.sam import PREPROCESSING, EmbeddingCache
from tests.disc_dataset import write_dataset, write_disc
from tests.processes import run_together
from tests.sam.helpers import tiny_network, write_discs
from tests.trainings import TINY_UNET, command, start, train

SECONDS = 240


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be stopped"


def said_at_end(process: subprocess.Popen) -> str:
    try:
        return process.communicate(timeout=SECONDS)[0]
    finally:
        process.kill()


def predicting(photos: Path, output: Path, weights: Path) -> subprocess.Popen:
    options = {**TINY_UNET, "image_size": [32, 32], "device": "$torch.device('cpu')", "batch_size": 1}
    words = [
        "-m",
        "dermaseg_monai",
        "predict",
        str(photos),
        "--output",
        str(output),
        "--bundle",
        "lesion_unet",
    ]
    return start(
        [*words, "--ckpt_dir", str(weights), *(f"--{name}={value}" for name, value in options.items())]
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(8):
        write_disc(tmp_path / "photos" / f"{number}.png", number)
    for number in range(8, 600):
        os.link(tmp_path / "photos" / f"{number % 8}.png", tmp_path / "photos" / f"{number}.png")
    torch.save(UNet(features=(4, 8)).state_dict(), tmp_path / "model.pt")
    return tmp_path / "photos"


def test_ctrl_c_keeps_the_masks_that_are_there(photos: Path, tmp_path: Path) -> None:
    process = predicting(photos, tmp_path / "out", tmp_path)
    wait_for(lambda: len(list((tmp_path / "out").glob("[0-9]*.png"))) > 20, process)
    process.send_signal(signal.SIGINT)
    said = said_at_end(process)
    # to a shell both are 130; Python ends by the signal once an interrupt passed through MONAI's eval
    assert process.returncode in (130, -signal.SIGINT), said
    assert "Traceback" not in said
    assert said.strip().endswith("stopped; what was finished is kept.")
    masks = {path.name.removesuffix("_segmentation.png") for path in (tmp_path / "out").glob("[0-9]*.png")}
    listed = set(pd.read_csv(tmp_path / "out" / "predictions.csv", dtype={"id": str})["id"])
    assert 20 <= len(listed) < 600
    assert listed <= masks  # the batch under way may have its masks already
    assert not list((tmp_path / "out").glob(".*"))


def test_a_killed_prediction_leaves_whole_masks_alone(photos: Path, tmp_path: Path) -> None:
    from dermaseg_monai.image_files import read_mask

    process = predicting(photos, tmp_path / "out", tmp_path)
    wait_for(lambda: len(list((tmp_path / "out").glob("[0-9]*.png"))) > 20, process)
    process.kill()
    said_at_end(process)
    for path in (tmp_path / "out").glob("[0-9]*.png"):
        assert read_mask(path).shape == (40, 48)


def test_ctrl_c_in_a_training_and_on_again(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    history = tmp_path / "output" / "history.csv"
    process = start(
        command("lesion_unet", "training", dataset, tmp_path, "train", **TINY_UNET, max_epochs=500)
    )
    wait_for(lambda: history.is_file() and history.read_text().count("\n") > 3, process)
    process.send_signal(signal.SIGINT)
    said = said_at_end(process)
    assert process.returncode == -signal.SIGINT  # as the shell expects it of an interrupted process
    assert said.strip().endswith("stopped; what was finished is kept.")
    assert "Traceback" not in said
    done = torch.load(tmp_path / "models" / "last.pt", weights_only=True)["epoch"]
    assert done >= 2
    assert len(pd.read_csv(history)) >= done


def cache_in(folder: Path) -> EmbeddingCache:
    network = tiny_network()
    return EmbeddingCache(network, PREPROCESSING["sam"](size=network.image_size), folder / "cache")


def fill(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    cache_in(Path(folder)).fill(sorted(map(str, Path(folder).glob("photos/disc_*[0-9].png"))))


def test_two_processes_fill_one_embedding_cache(tmp_path: Path) -> None:
    items = write_discs(tmp_path / "photos", 12)
    run_together(fill, tmp_path)
    files = sorted(path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert len(files) == 12
    assert all(path.suffix == ".npy" and not path.name.startswith(".") for path in files)
    cache = cache_in(tmp_path)
    for item in items:
        stored = cache.read(cache.path(item["image"]))
        assert stored is not None
        assert torch.equal(stored, cache._store(cache._image(item["image"]), tmp_path / "other.npy"))


def test_one_seed_one_network_whatever_the_order_of_the_folder(tmp_path: Path, monkeypatch) -> None:
    dataset = write_dataset(tmp_path / "discs")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    found = []
    for name in ("one", "two"):
        listed, iterated = os.listdir, Path.iterdir
        if name == "two":
            monkeypatch.setattr(os, "listdir", lambda *path, listed=listed: listed(*path)[::-1])
            monkeypatch.setattr(
                Path, "iterdir", lambda path, iterated=iterated: reversed(list(iterated(path)))
            )
        train(
            "lesion_unet", dataset, tmp_path / name, max_epochs=2, cache_dir=str(tmp_path / name), **TINY_UNET
        )
        found.append(torch.load(tmp_path / name / "models" / "model.pt", weights_only=True))
    torch.set_num_threads(threads)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())

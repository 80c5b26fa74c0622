"""What each entry point makes of each bad input: one sentence, and no photo costs more than itself."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dermaseg_monai.bundle.folder import BundleFolder, bundle_folder
from dermaseg_monai.data.datalist import load_datalist
from dermaseg_monai.data.pixel_cache import open_pixel_cache
from dermaseg_monai.datasets import prepare
from dermaseg_monai.datasets.phantoms import write_phantoms
from dermaseg_monai.image_files import open_photo
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.networks import UNet
from dermaseg_monai.sam import PREPROCESSING, EmbeddingCache
from dermaseg_monai.transforms import LoadMaskd, LoadPhotod
from dermaseg_monai.utils.errors import InputError, explained
from tests.datasets.layout import folders, mask
from tests.disc_dataset import write_dataset, write_disc
from tests.reliability.bad_files import BAD, GOOD, SIZE, colours
from tests.sam.helpers import TINY as TINY_SAM
from tests.sam.helpers import tiny_network, write_discs
from tests.trainings import SETTINGS, TINY_UNET, command, train

TINY = {**TINY_UNET, **{name: SETTINGS[name] for name in ("image_size", "device", "amp")}}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # a bundle sets its own
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained network's weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(UNet(features=(4, 8)).state_dict(), folder / "model.pt")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with every good and every bad photo."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, make in GOOD.items():
        make(folder / name)
    for name, (make, _) in BAD.items():
        make(folder / name)
    for number in range(20):  # most are as they should be
        write_disc(folder / f"disc {number}.png", number, SIZE[::-1])
    colours(size=(1, 1)).save(folder / "one pixel.png")
    return folder


class TestInference:
    def test_each_bad_photo_costs_only_itself_and_is_listed(self, photos, weights, tmp_path) -> None:
        # two bad files share a stem with others of the table: a folder takes one photo of a name
        for name in ("cut.png", "overwritten.png"):
            (photos / name).rename(photos / f"{name.replace('.', ' ')}.png")
        output = tmp_path / "output"
        table = predict(photos, output, bundle="lesion_unet", ckpt_dir=str(weights), **TINY)
        good = {Path(name).stem for name in GOOD} | {f"disc {n}" for n in range(20)} | {"one pixel"}
        assert set(table["id"]) == good
        for name in GOOD:
            assert Image.open(output / f"{Path(name).stem}_segmentation.png").size == SIZE, name
        assert Image.open(output / "one pixel_segmentation.png").size == (1, 1)
        failures = pd.read_csv(output / "failures.csv").set_index("id")["reason"].to_dict()
        for name, (_, said) in BAD.items():
            stem = Path(name).stem
            assert said in failures.pop(f"{stem} png" if name in ("cut.png", "overwritten.png") else stem), (
                name
            )
        assert not failures

    def test_nothing_but_bad_photos(self, tmp_path, weights) -> None:
        (tmp_path / "photos").mkdir()
        BAD["a text.jpg"][0](tmp_path / "photos" / "a.jpg")
        with pytest.raises(Exception, match=r".") as caught:
            predict(tmp_path / "photos", tmp_path / "out", "lesion_unet", ckpt_dir=str(weights), **TINY)
        said = str(explained(caught.value))
        assert said.startswith("none of the 1 photos could be read; the first: ")
        assert "not an image of a known format" in said

    def test_stopped_halfway_it_keeps_what_it_has(self, tmp_path, weights, monkeypatch) -> None:
        for number in range(30):
            write_disc(tmp_path / "photos" / f"{number:02}.png", number) if number else (
                tmp_path / "photos"
            ).mkdir()
        from dermaseg_monai.data import photos as module

        made = module._batch

        def stopping(items: list) -> Any:
            if items[0]["id"] > "20":
                raise KeyboardInterrupt
            return made(items)

        monkeypatch.setattr(module, "_batch", stopping)
        with pytest.raises(KeyboardInterrupt):
            BundleFolder.find("lesion_unet").run(
                tmp_path / "out", dataset_dir=str(tmp_path / "photos"),
                ckpt_dir=str(weights), batch_size=4, **TINY,
            )  # fmt: skip
        table = pd.read_csv(tmp_path / "out" / "predictions.csv")
        assert len(table) == 20
        assert len(list((tmp_path / "out").glob("*_segmentation.png"))) == 20


class TestEvaluation:
    def evaluate(self, dataset: Path, weights: Path, home: Path) -> dict[str, Any]:
        shutil.copytree(weights, home / "models")
        train("lesion_unet", dataset, home, "train", "evaluate", run_id="evaluating", **TINY_UNET)
        return json.loads((home / "output" / "summary.json").read_text())

    def test_bad_photos_and_masks_cost_only_themselves(self, tmp_path, weights) -> None:
        dataset = write_dataset(tmp_path / "discs")
        content = json.loads((dataset / "datalist.json").read_text())
        test = [write_disc(dataset / f"new {n}.png", 50 + n) for n in range(6)]
        (dataset / "new 0.png").write_bytes((dataset / "new 0.png").read_bytes()[:300])
        (dataset / "new 1_segmentation.png").write_bytes(mask(30, 30))
        (dataset / "new 2_segmentation.png").write_bytes(b"")
        Image.new("L", (48, 40)).save(dataset / "new 3_segmentation.png")
        content["test"] += test
        (dataset / "datalist.json").write_text(json.dumps(content))
        summary = self.evaluate(dataset, weights, tmp_path)
        assert summary["images"] == 4 + 3
        reasons = {entry["id"]: entry["reason"] for entry in summary["failures"]}
        assert set(reasons) == {"new 0", "new 1", "new 2"}
        assert "damaged" in reasons["new 0"]
        assert "this mask is 30 x 30 pixels, but its photo" in reasons["new 1"]
        assert reasons["new 1"].endswith("new 1.png is 48 x 40.")
        assert "the file is empty" in reasons["new 2"]
        table = pd.read_csv(tmp_path / "output" / "metrics.csv").set_index("id")
        assert table.loc["new 3", "dice"] in (0, 1)  # an empty mask is a mask

    def test_an_id_twice(self, tmp_path, weights) -> None:
        dataset = write_dataset(tmp_path / "discs")
        content = json.loads((dataset / "datalist.json").read_text())
        content["test"].append(content["training"][0])
        (dataset / "datalist.json").write_text(json.dumps(content))
        with pytest.raises(Exception, match=r".") as caught:
            self.evaluate(dataset, weights, tmp_path)
        assert "has the id 'disc_0' twice, for training and test" in str(explained(caught.value))


class TestPrepare:
    def test_each_bad_photo_costs_only_itself_and_is_named(self, tmp_path) -> None:
        names = folders("Training")
        photos, masks = (tmp_path / "source" / names[kind] for kind in ("image", "lesion"))
        photos.mkdir(parents=True)
        masks.mkdir()
        ids = {}
        for number, (name, make) in enumerate([*GOOD.items(), *((n, m) for n, (m, _) in BAD.items())]):
            ids[name] = f"ISIC_{9_100_000 + number}"
            make(photos / f"{ids[name]}{Path(name).suffix}")
            (masks / f"{ids[name]}_segmentation.png").write_bytes(mask(*SIZE))
        for name, data in {
            "other size": mask(30, 30),
            "all empty": mask(*SIZE, value=0),
            "no mask": b"",
        }.items():
            ids[name] = f"ISIC_{9_200_000 + len(ids)}"
            colours().save(photos / f"{ids[name]}.png")
            if data:
                (masks / f"{ids[name]}_segmentation.png").write_bytes(data)
        summary = prepare(tmp_path / "source", tmp_path / "prepared")
        told = {problem.id: problem.what for problem in summary.left_out}
        good = {*GOOD, "all empty"}
        # what is no file is no photo either, so that its mask lies there alone
        absent = {"link to nowhere.png", "link to itself.png", "pipe.png"}
        assert set(told) == {ids[name] for name in ids.keys() - good}
        for name in absent:
            assert told[ids[name]] == "has no photo"
        for name in BAD.keys() - absent:
            assert "cannot be used" in told[ids[name]], name
        assert "is 30x30 pixels, but its photo" in told[ids["other size"]]
        assert told[ids["no mask"]] == "has no mask for lesion"
        assert sum(summary.counts.values()) == len(good)

    def test_nothing_but_bad_photos(self, tmp_path) -> None:
        names = folders("Training")
        for kind, data in (("image", b"no photo"), ("lesion", mask(*SIZE))):
            (tmp_path / "source" / names[kind]).mkdir(parents=True)
            end = ".jpg" if kind == "image" else "_segmentation.png"
            (tmp_path / "source" / names[kind] / f"ISIC_9000000{end}").write_bytes(data)
        with pytest.raises(InputError, match=r"."):
            prepare(tmp_path / "source", tmp_path / "prepared")
        assert not (tmp_path / "prepared" / "datalist.json").exists()


class TestTraining:
    """A training leaves nothing out, so that it is what its settings say: it ends and names the photo."""

    @pytest.mark.parametrize("name", BAD)
    def test_a_bad_photo_is_named(self, name, tmp_path) -> None:
        items = [write_disc(tmp_path / f"{n}.png", n) for n in range(3)]
        Path(items[1]["image"]).unlink()
        BAD[name][0](Path(items[1]["image"]))
        with pytest.raises(InputError, match=r"1\.png") as caught:
            open_pixel_cache(
                items, lambda item: LoadMaskd("label")(LoadPhotod("image")(item)), tmp_path / "cache"
            )
        assert "\n" not in str(caught.value)
        assert not list((tmp_path / "cache").glob("*"))

    @pytest.mark.parametrize("section", ["training", "validation"])
    def test_an_id_twice(self, section, tmp_path) -> None:
        dataset = write_dataset(tmp_path / "discs")
        content = json.loads((dataset / "datalist.json").read_text())
        content["test"].append(content["training"][0])
        (dataset / "datalist.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="has the id 'disc_0' twice"):
            load_datalist(dataset, section, "lesion")

    def test_a_mask_of_another_size(self, tmp_path) -> None:
        dataset = write_dataset(tmp_path / "discs")
        (dataset / "disc_3_segmentation.png").write_bytes(mask(20, 20))
        with pytest.raises(Exception, match=r".") as caught:
            train("lesion_unet", dataset, tmp_path, **TINY_UNET)
        assert "disc_3_segmentation.png: this mask is 20 x 20 pixels, but its photo" in str(
            explained(caught.value)
        )

    def test_a_lost_loss(self, tmp_path) -> None:
        dataset = write_dataset(tmp_path / "discs")
        nan = {"loss": "$lambda prediction, label: prediction.mean() * float('nan')", "max_epochs": 2}
        with pytest.raises(Exception, match=r".") as caught:
            train("lesion_unet", dataset, tmp_path, **TINY_UNET, **nan)
        assert "the training loss became nan in epoch 1, iteration 1 of 2; run again" in str(
            explained(caught.value)
        )
        assert not list((tmp_path / "models").glob("*"))


def cache_in(folder: Path) -> EmbeddingCache:
    network = tiny_network()
    return EmbeddingCache(network, PREPROCESSING["sam"](size=network.image_size), folder)


class TestEmbeddingCache:
    @pytest.mark.parametrize("name", BAD)
    def test_a_bad_photo_is_named(self, name, tmp_path) -> None:
        BAD[name][0](tmp_path / f"bad{Path(name).suffix}")
        with pytest.raises(InputError, match="bad") as caught:
            cache_in(tmp_path / "cache").fill([tmp_path / f"bad{Path(name).suffix}"])
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="needs another user to be")
def test_a_file_of_somebody_else(tmp_path) -> None:
    path = tmp_path / "private" / "photo.png"
    path.parent.mkdir(mode=0o700)
    colours().save(path)
    os.seteuid(65_534)
    try:
        with pytest.raises(InputError, match=r"photo\.png: the file cannot be reached \(Permission denied\)"):
            open_photo(path)
    finally:
        os.seteuid(0)


def discs(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "discs")


def official(tmp_path: Path) -> Path:
    write_phantoms(tmp_path / "official", count=3, size=64)
    return tmp_path / "official"


def run_prepare(tmp_path: Path, output: Path, weights: Path) -> None:
    prepare(official(tmp_path), output, size=32)


def run_phantoms(tmp_path: Path, output: Path, weights: Path) -> None:
    write_phantoms(output, count=1, size=64)


def run_predict(tmp_path: Path, output: Path, weights: Path) -> None:
    write_disc(tmp_path / "one.png", 0)
    predict(tmp_path / "one.png", output, "lesion_unet", ckpt_dir=str(weights), **TINY)


def run_evaluation(tmp_path: Path, output: Path, weights: Path) -> None:
    places = {"ckpt_dir": str(weights), "output_dir": str(output)}
    train(
        "lesion_unet",
        discs(tmp_path),
        tmp_path,
        "train",
        "evaluate",
        run_id="evaluating",
        **TINY_UNET,
        **places,
    )


def run_training(tmp_path: Path, output: Path, weights: Path) -> None:
    places = {"ckpt_dir": str(output / "models"), "output_dir": str(tmp_path / "output")}
    train("lesion_unet", discs(tmp_path), tmp_path, max_epochs=1, **TINY_UNET, **places)


def run_embedding(tmp_path: Path, output: Path, weights: Path) -> None:
    photos = [item["image"] for item in write_discs(tmp_path / "photos", 2)]
    cache_in(output).fill(photos)


RUNS = [run_prepare, run_phantoms, run_predict, run_evaluation, run_training, run_embedding]


@pytest.mark.parametrize("run", RUNS)
def test_an_output_that_lies_in_a_file(run: Callable, tmp_path, weights) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Exception, match=r".") as caught:
        run(tmp_path, tmp_path / "file" / "output", weights)
    said = explained(caught.value)
    assert said is not None
    assert "file" in said
    assert "\n" not in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("run", RUNS[1:])
def test_a_disk_that_is_full_or_read_only(run: Callable, number: int, tmp_path, weights, monkeypatch) -> None:
    from dermaseg_monai.utils import files

    (tmp_path / "prepared").mkdir()
    original = os.fsync

    def refuse(descriptor: int) -> None:
        if str(tmp_path / "output") in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        original(descriptor)

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(Exception, match=r".") as caught:
        run(tmp_path, tmp_path / "output", weights)
    said = explained(caught.value)
    assert said is not None
    assert f"cannot be written ({os.strerror(number)}); make room there" in said
    assert not [path for path in (tmp_path / "output").rglob(".*") if path.is_file()]


def limited(arguments: list[str], blocks: int) -> subprocess.CompletedProcess[str]:
    """Run Python where no file may grow beyond so many KiB: to a program, a disk that fills up."""
    shell = ["bash", "-c", f'ulimit -f {blocks}; exec "$0" "$@"', sys.executable, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(shell, capture_output=True, text=True, check=False, timeout=300, env=environment)


def test_disks_that_really_fill_up(tmp_path) -> None:
    dataset = discs(tmp_path)
    source = official(tmp_path)
    dermaseg = ["-m", "dermaseg_monai"]
    embeddings = tmp_path / "embeddings"
    sam = {"network_def#architecture": TINY_SAM, "sam": "$@network_def.to(@device)"}
    commands = [
        [*dermaseg, "phantom", "--output", str(tmp_path / "out"), "--count", "1", "--size", "256"],
        [*dermaseg, "prepare", "--source", str(source), "--output", str(tmp_path / "ready"), "--size", "63"],
        command(
            "lesion_unet", "training", dataset, tmp_path, "train", **TINY_UNET, max_epochs=1, cache_dir="/tmp"
        ),
        command("lesion_sam", "training", dataset, tmp_path, "train", **sam, cache_dir=embeddings),
    ]
    for arguments, blocks in zip(commands, (2, 1, 8, 8), strict=True):
        done = limited(arguments, blocks)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ")
        assert "File too large" in last
    assert embeddings.is_dir()
    assert not [path for path in embeddings.rglob("*") if path.is_file()]


def test_exit_codes(tmp_path, weights) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    write_disc(photos / "good.png", 0)
    options = [f"--{name}={value}" for name, value in (TINY | {"ckpt_dir": str(weights)}).items()]
    predicting = ["-m", "dermaseg_monai", "predict", str(photos), "--output", str(tmp_path / "out")]
    predicting += ["--bundle", "lesion_unet", *options]
    bundle = ["-m", "monai.bundle", "run", "inferring", "--bundle_root", str(bundle_folder("lesion_unet"))]
    bundle += ["--config_file", str(bundle_folder("lesion_unet") / "configs" / "inference.json")]
    bundle += ["--dataset_dir", str(photos), "--output_dir", str(tmp_path / "bundle"), *options]

    def code(arguments: list[str]) -> int:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=environment,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode

    assert code(predicting) == 0
    BAD["cut.jpg"][0](photos / "bad.jpg")
    assert code(predicting) == 3
    assert code(bundle) == 3
    assert np.unique(Image.open(tmp_path / "bundle" / "good_segmentation.png")).size
    (photos / "good.png").unlink()
    assert code(bundle) == 1

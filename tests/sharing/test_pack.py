"""Packing: what is in an archive and what the lists beside it say."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.sharing.pack import all_bundles, pack, read_packed, version_key
from dermaseg_monai.utils.errors import InputError

FLAGSHIP = "lesion_mobilenetv2_unet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle's folder after a training, an evaluation and what else happens to a folder."""
    folder = tmp_path / "own_bundle"
    shutil.copytree(bundle_folder(FLAGSHIP), folder)
    for junk in (
        "output/metrics.csv", "data/datalist.json", "models/last.pt", "models/.model.0f3a.pt", "configs/train.json~",
        "configs/__pycache__/x.pyc", "docs/.DS_Store", "photos/a.jpg", ".ipynb_checkpoints/a.json", "notes.txt",
    ):  # fmt: skip
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_text("junk")
    return folder


def members(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as file:
        return set(file.namelist())


def test_archive_is_the_bundle_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    (packed,) = pack([folder], tmp_path / "dist")
    assert packed.path.name == "own_bundle_v0.1.0.zip"
    files = (path for path in bundle_folder(FLAGSHIP).rglob("*") if path.is_file())
    committed = {f"own_bundle/{path.relative_to(bundle_folder(FLAGSHIP)).as_posix()}" for path in files}
    assert members(packed.path) == committed
    assert packed.weights == "included"


def test_packing_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (first,) = pack([folder], tmp_path / "first")
    shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    (second,) = pack([tmp_path / "elsewhere" / folder.name], tmp_path / "second")
    assert first.path.read_bytes() == second.path.read_bytes()
    for name in ("model_info.json", "SHA256SUMS", "index.html"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_lists_tell_all_archives_of_the_folder(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "dist"
    pack([folder], output)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    (folder / "configs" / "metadata.json").write_text(json.dumps({**metadata, "version": "0.2.0"}))
    pack([folder, "lesion_unet"], output, url="https://example.org/bundles")
    info = json.loads((output / "model_info.json").read_text())
    assert list(info) == ["lesion_unet_v0.1.0", "own_bundle_v0.1.0", "own_bundle_v0.2.0"]
    for stem, entry in info.items():
        assert entry["source"] == f"https://example.org/bundles/{stem}.zip"
        assert entry["checksum"] == hashlib.sha256((output / f"{stem}.zip").read_bytes()).hexdigest()
    checked = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=output, capture_output=True, check=True
    )
    assert checked.stdout.count(b": OK") == 3
    page = (output / "index.html").read_text()
    assert page.count("<article>") == 3
    assert "weights included" in page
    assert "<dd>0.8347</dd>" in page
    assert (
        "python -m monai.bundle download --name own_bundle --version 0.2.0 "
        "--url https://example.org/bundles/own_bundle_v0.2.0.zip --bundle_dir bundles</code>" in page
    )
    assert "dermaseg get own_bundle --from https://example.org/bundles/ --version 0.2.0</code>" in page


def test_what_a_killed_packing_left_is_no_archive(folder: Path, tmp_path: Path) -> None:
    (packed,) = pack([folder], tmp_path / "dist")
    left = tmp_path / "dist" / f".{packed.path.stem}.{'0' * 16}.zip"
    left.write_bytes(packed.path.read_bytes()[:100])
    assert [again.path for again in pack([folder], tmp_path / "dist")] == [packed.path]
    os.utime(left, (0, 0))
    pack([folder], tmp_path / "dist")
    assert not left.exists()


def test_page_escapes_what_a_bundle_says(folder: Path, tmp_path: Path) -> None:
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    metadata["description"] = "<script>alert(1)</script>"
    metadata["eval_metrics"] = {"<b>": "<i>"}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    pack([folder], tmp_path / "dist")
    page = (tmp_path / "dist" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_weights_by_large_files_only_where_they_are_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "large_files.yml").write_text("large_files: []\n")
    (packed,) = pack([folder], tmp_path / "with")
    assert "own_bundle/large_files.yml" not in members(packed.path)
    (folder / "models" / "model.pt").unlink()
    (packed,) = pack([folder], tmp_path / "without")
    assert "own_bundle/large_files.yml" in members(packed.path)
    assert packed.weights == "elsewhere"


def test_runs_and_variants_are_named_after_their_study(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "ablations" / "loss" / "dice" / "seed0"
    shutil.copytree(folder, run)
    (packed,) = pack([run], tmp_path / "dist")
    assert packed.name == "loss_dice_seed0"
    assert "loss_dice_seed0/models/model.pt" in members(packed.path)


def test_whole_collection(tmp_path: Path) -> None:
    folders = all_bundles()
    packed = pack(folders, tmp_path)
    assert len(packed) == len(folders) == len(list(tmp_path.glob("*.zip")))
    assert {"lesion_unet", FLAGSHIP, "attribute_unet"} <= {archive.name for archive in packed}
    with_weights = [archive.weights != "none" for archive in packed]
    assert with_weights == sorted(with_weights, reverse=True)  # those with weights come first
    assert {"lesion_unetpp", FLAGSHIP} <= {archive.name for archive in packed[: sum(with_weights)]}


def test_mistakes(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'lesion_vnet' is neither"):
        pack(["lesion_vnet"], tmp_path / "dist")
    shutil.copytree(folder, tmp_path / "b" / "own_bundle")
    with pytest.raises(InputError, match="would both be own_bundle"):
        pack([folder, tmp_path / "b" / "own_bundle"], tmp_path / "dist")
    with pytest.raises(InputError, match="--url must start"):
        pack([folder], tmp_path / "dist", url="bundles")
    (packed,) = pack([folder], tmp_path / "dist")
    renamed = packed.path.rename(tmp_path / "other.zip")
    with pytest.raises(InputError, match=r"name it own_bundle_v0\.1\.0\.zip"):
        read_packed(renamed)
    (folder / "LICENSE").unlink()
    with pytest.raises(InputError, match="it has no LICENSE"):
        pack([folder], tmp_path / "dist")


def test_versions_are_ordered_as_versions() -> None:
    versions = ["0.10.0", "0.9.0", "1.0.0", "1.0.0rc1", "0.2.0", "7-odd"]
    assert sorted(versions, key=version_key) == ["7-odd", "0.2.0", "0.9.0", "0.10.0", "1.0.0rc1", "1.0.0"]

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.data.datalist import load_datalist
from dermaseg_monai.datasets import prepare
from dermaseg_monai.utils.errors import InputError
from tests.datasets.layout import (
    ATTRIBUTES,
    mask,
    official_files,
    photo,
    write_archives,
    write_folder,
)
from tests.datasets.prepared import IDS, LESIONS, PHOTOS, datalist, items


def test_folders_become_a_datalist(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "clinic", files)
    summary = prepare(source, tmp_path / "out", task="both")
    content = datalist(tmp_path / "out")
    assert {key: content[key] for key in ("name", "task", "split", "size", "attributes")} == {
        "name": "clinic",
        "task": "both",
        "split": "random",
        "size": None,
        "attributes": list(ATTRIBUTES),
    }
    assert summary.counts == {section: len(content[section]) for section in summary.counts}
    assert sum(summary.counts.values()) == 8
    assert all(summary.counts.values())
    assert items(tmp_path / "out")["CASE_0003"] == {
        "id": "CASE_0003",
        "image": "images/CASE_0003.jpg",
        "label": "masks/CASE_0003_segmentation.png",
        "attributes": [f"attributes/CASE_0003_attribute_{name}.png" for name in ATTRIBUTES],
    }
    stored = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*g")}
    assert len(stored) == 8 * 7
    assert (tmp_path / "out/images/CASE_0003.jpg").read_bytes() == files[f"{PHOTOS}/CASE_0003.jpg"]
    assert len(load_datalist(tmp_path / "out", "training", "attribute")) == summary.counts["training"]


def test_tasks_write_their_own_labels(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    prepare(source, tmp_path / "lesion")
    assert items(tmp_path / "lesion")["CASE_0000"]["label"] == "masks/CASE_0000_segmentation.png"
    assert "attributes" not in datalist(tmp_path / "lesion")
    prepare(source, tmp_path / "attribute", task="attribute")
    item = items(tmp_path / "attribute")["CASE_0000"]
    assert item["label"] == [f"attributes/CASE_0000_attribute_{name}.png" for name in ATTRIBUTES]
    assert "attributes" not in item
    # the attribute masks differ in their column: the order of the paths is that of the names
    for index, name in enumerate(item["label"]):
        pixels = np.asarray(Image.open(tmp_path / "attribute" / name))
        assert pixels[0].nonzero()[0].tolist() == [index]


def test_official_ids_keep_their_section_and_name(tmp_path: Path) -> None:
    ids = ["ISIC_0013232", "ISIC_0000115", "ISIC_0000155", "ISIC_0012704", *IDS]
    source = write_folder(tmp_path / "source", official_files(ids))
    prepare(source, tmp_path / "out")
    assert [item["id"] for item in datalist(tmp_path / "out")["training"]][:4] == ids[:4]
    only = write_folder(tmp_path / "only", official_files(ids[:4]))
    summary = prepare(only, tmp_path / "small")
    assert datalist(tmp_path / "small")["name"] == "ISIC 2018"
    assert "no image falls into validation and test" in str(summary)


@pytest.mark.parametrize(("top", "separator"), [("", "/"), ("", "\\"), ("data/2018/", "/"), ("data/", "\\")])
def test_archives_give_the_same_as_folders(
    tmp_path: Path, files: dict[str, bytes], top: str, separator: str
) -> None:
    prepare(write_folder(tmp_path / "set", files), tmp_path / "a", task="both")
    source = write_archives(tmp_path / "packed" / "set", files, top, separator)
    prepare(source, tmp_path / "b", task="both")
    assert (tmp_path / "a/datalist.json").read_bytes() == (tmp_path / "b/datalist.json").read_bytes()
    for path in (tmp_path / "a").rglob("*.*g"):
        assert (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes() == path.read_bytes()


def test_nested_folders_letter_case_and_backslashes_in_names(tmp_path: Path) -> None:
    files = official_files(IDS[:4], ending=".JPG")
    files = {
        f"Downloads/2018/{name}".replace("ISIC2018_Task1-2", "isic2018_task1-2"): f
        for name, f in files.items()
    }
    source = write_folder(tmp_path / "source", files)
    for path in [p for p in source.rglob("*_segmentation.png") if "CASE_0001" in p.name]:
        # what unzipping a Windows archive may leave: one file whose name holds backslashes
        path.rename(source / f"{LESIONS}\\{path.name.replace('_seg', '_Seg')}")
    summary = prepare(source, tmp_path / "out")
    assert not summary.left_out
    assert items(tmp_path / "out")["CASE_0001"]["image"] == "images/CASE_0001.jpg"
    assert (tmp_path / "out/masks/CASE_0001_segmentation.png").is_file()


def test_archive_goes_before_its_unpacked_folder(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    write_folder(
        source, {f"{PHOTOS}/CASE_0000.jpg": photo(seed=99), f"{PHOTOS}/__MACOSX/x.jpg": b"", "._a.zip": b""}
    )
    summary = prepare(source, tmp_path / "out")
    assert not summary.left_out
    assert (tmp_path / "out/images/CASE_0000.jpg").read_bytes() == files[f"{PHOTOS}/CASE_0000.jpg"]


def test_stored_files_are_copies_of_their_own(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    prepare(source, tmp_path / "shared")

    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    prepare(source, tmp_path / "copied")
    for output in ("shared", "copied"):
        for name, original in (
            ("images/CASE_0000.jpg", f"{PHOTOS}/CASE_0000.jpg"),
            ("masks/CASE_0000_segmentation.png", f"{LESIONS}/CASE_0000_segmentation.png"),
        ):
            with (tmp_path / output / name).open("r+b") as stream:  # as a paint program saves
                assert stream.read() == files[original]
                stream.truncate(0)
            assert (source / original).read_bytes() == files[original]


def test_official_split(tmp_path: Path) -> None:
    files = {
        **official_files(IDS[:6]),
        **official_files(["V_1", "V_0"], "Validation"),
        **official_files(["T_1", "T_0"], "Test"),
    }
    source = write_archives(tmp_path / "source", files)
    prepare(source, tmp_path / "out", task="both", split="official")
    content = datalist(tmp_path / "out")
    assert {item["id"] for item in content["training"]} == set(IDS[:6])
    assert [item["id"] for item in content["validation"]] == ["V_0", "V_1"]
    assert [item["id"] for item in content["test"]] == ["T_0", "T_1"]
    # the random split leaves the official validation and test images alone
    prepare(source, tmp_path / "random")
    assert set(items(tmp_path / "random")) == set(IDS[:6])
    (source / "ISIC2018_Task1_Test_GroundTruth.zip").unlink()
    with pytest.raises(InputError, match="no files of ISIC2018_Task1_Test_GroundTruth;"):
        prepare(source, tmp_path / "out", split="official")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "segmentation"}, "lesion, attribute, both"),
        ({"split": "kfold"}, "random, official"),
        ({"size": 0}, "at least 16"),
        ({"size": "256"}, "at least 16"),
        ({"size": True}, "at least 16"),
        ({"workers": 0}, "workers"),
        ({"source": "nowhere"}, "does not exist"),
        ({"output": "source/out"}, "must lie apart"),
        ({"output": "source"}, "must lie apart"),
        ({"output": "."}, "must lie apart"),
        ({"output": "file"}, "is a file"),
        ({"output": "taken"}, "no earlier run made"),
        ({"source": "empty"}, PHOTOS),
    ],
)
def test_wrong_arguments(
    tmp_path: Path,
    files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "source", files)
    write_folder(tmp_path, {"file": b"", "taken/images/a.jpg": b"", "empty/readme.txt": b""})
    with pytest.raises(InputError, match=message) as caught:
        prepare(**{"source": "source", "output": "out", **arguments})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_source_without_the_masks_of_the_task(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(
        tmp_path / "source", {name: data for name, data in files.items() if LESIONS not in name}
    )
    with pytest.raises(InputError, match=LESIONS):
        prepare(source, tmp_path / "out")
    assert not prepare(source, tmp_path / "out", task="attribute").left_out


def test_source_without_one_whole_pair(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    shutil.rmtree(source / LESIONS)
    write_folder(source, {f"{LESIONS}/OTHER_segmentation.png": mask()})
    with pytest.raises(InputError, match="has all its masks"):
        prepare(source, tmp_path / "out")
    bad = {name: b"" if PHOTOS in name else data for name, data in files.items()}
    with pytest.raises(InputError, match="none of the 8 images"):
        prepare(write_folder(tmp_path / "bad", bad), tmp_path / "out")


def test_duplicate_ids(tmp_path: Path, files: dict[str, bytes]) -> None:
    files[f"{PHOTOS}/CASE_0003.png"] = photo(form="PNG")
    with pytest.raises(InputError, match=r"CASE_0003 comes twice.*CASE_0003.jpg and .*CASE_0003.png"):
        prepare(write_folder(tmp_path / "source", files), tmp_path / "out")
    across = {
        **official_files(IDS[:4]),
        **official_files(IDS[3:5], "Validation"),
        **official_files(["T"], "Test"),
    }
    with pytest.raises(InputError, match="CASE_0003 lies both in"):
        prepare(write_folder(tmp_path / "across", across), tmp_path / "out", split="official")


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_unsafe_archive_paths(tmp_path: Path, files: dict[str, bytes], path: str) -> None:
    source = write_archives(tmp_path / "source", files)
    with zipfile.ZipFile(source / f"{PHOTOS}.zip", "a") as archive:
        archive.writestr(f"{path}/{PHOTOS}/CASE_0009.jpg", photo())
    with pytest.raises(InputError, match="unsafe path"):
        prepare(source, tmp_path / "out")


def test_archive_that_is_no_archive(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    path = source / f"{LESIONS}.zip"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=rf"{LESIONS}.zip cannot be read"):
        prepare(source, tmp_path / "out")


def test_linked_source_folders_are_followed_but_not_in_circles(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    real = write_folder(tmp_path / "disk", files)
    source = tmp_path / "source"
    source.mkdir()
    (source / "data").symlink_to(real, target_is_directory=True)
    (real / "back").symlink_to(source, target_is_directory=True)
    assert sum(prepare(source, tmp_path / "out").counts.values()) == 8


def test_names_that_are_not_utf_8_or_mean_nothing_to_table_readers(tmp_path: Path) -> None:
    names = [b"a", b"NA", b"null", b"R\xfccken", b"gr\xc3\xb6\xc3\x9fer"]
    for name in names:
        for folder, ending, data in ((PHOTOS, b".jpg", photo()), (LESIONS, b"_segmentation.png", mask())):
            path = os.fsencode(tmp_path / "source" / folder)
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, name + ending), "wb") as stream:
                stream.write(data)
    summary = prepare(tmp_path / "source", tmp_path / "out")
    assert not summary.left_out
    assert set(items(tmp_path / "out")) == {"a", "NA", "null", "R%FCcken", "größer"}
    assert (tmp_path / "out/images/R%FCcken.jpg").is_file()
    assert prepare(tmp_path / "source", tmp_path / "out").reused == 5
    str(summary).encode()  # can be printed anywhere


def test_files_passed_over_are_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    files |= {f"{PHOTOS}/notes.pdf": b"%PDF", f"{PHOTOS}/raw.nef": b"II*\0", f"{LESIONS}/x.psd": b"8BPS"}
    summary = prepare(write_folder(tmp_path / "source", files), tmp_path / "out")
    assert f"passed over 3 files ({PHOTOS}/notes.pdf, {PHOTOS}/raw.nef, {LESIONS}/x.psd)" in str(summary)

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.data.datalist import load_datalist
from dermaseg_monai.image_files import read_mask, read_photo
from dermaseg_monai.utils.errors import InputError
from tests.datasets.layout import (
    ATTRIBUTES,
    encode,
    folders,
    mask,
    official_files,
    photo,
    write_archives,
    write_folder,
)

# the package's own name ``prepare`` is the function
module = importlib.import_module("dermaseg_monai.datasets.prepare")

IDS = [f"CASE_{index:04d}" for index in range(8)]
PHOTOS, LESIONS, MARKS = folders("Training").values()


@pytest.fixture
def files() -> dict[str, bytes]:
    return official_files(IDS)


def datalist(output: Path) -> dict[str, Any]:
    return json.loads((output / "datalist.json").read_text())


def items(output: Path) -> dict[str, dict[str, Any]]:
    content = datalist(output)
    return {item["id"]: item for section in ("training", "validation", "test") for item in content[section]}


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    stamps = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            stamps[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return stamps


class CountingDecoder:
    """Stands in for ``Image.open`` and counts what is decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.open = Image.open
        monkeypatch.setattr(Image, "open", self)

    def __call__(self, stream: IO[bytes], **options: Any) -> Image.Image:
        self.calls += 1
        return self.open(stream, **options)


def test_folders_become_a_datalist(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "clinic", files)
    summary = module.prepare(source, tmp_path / "out", task="both")
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
    module.prepare(source, tmp_path / "lesion")
    assert items(tmp_path / "lesion")["CASE_0000"]["label"] == "masks/CASE_0000_segmentation.png"
    assert "attributes" not in datalist(tmp_path / "lesion")
    module.prepare(source, tmp_path / "attribute", task="attribute")
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
    module.prepare(source, tmp_path / "out")
    assert [item["id"] for item in datalist(tmp_path / "out")["training"]][:4] == ids[:4]
    only = write_folder(tmp_path / "only", official_files(ids[:4]))
    summary = module.prepare(only, tmp_path / "small")
    assert datalist(tmp_path / "small")["name"] == "ISIC 2018"
    assert "no image falls into validation and test" in str(summary)


@pytest.mark.parametrize(("top", "separator"), [("", "/"), ("", "\\"), ("data/2018/", "/"), ("data/", "\\")])
def test_archives_give_the_same_as_folders(
    tmp_path: Path, files: dict[str, bytes], top: str, separator: str
) -> None:
    module.prepare(write_folder(tmp_path / "set", files), tmp_path / "a", task="both")
    source = write_archives(tmp_path / "packed" / "set", files, top, separator)
    module.prepare(source, tmp_path / "b", task="both")
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
    summary = module.prepare(source, tmp_path / "out")
    assert not summary.left_out
    assert items(tmp_path / "out")["CASE_0001"]["image"] == "images/CASE_0001.jpg"
    assert (tmp_path / "out/masks/CASE_0001_segmentation.png").is_file()


def test_archive_goes_before_its_unpacked_folder(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    write_folder(
        source, {f"{PHOTOS}/CASE_0000.jpg": photo(seed=99), f"{PHOTOS}/__MACOSX/x.jpg": b"", "._a.zip": b""}
    )
    summary = module.prepare(source, tmp_path / "out")
    assert not summary.left_out
    assert (tmp_path / "out/images/CASE_0000.jpg").read_bytes() == files[f"{PHOTOS}/CASE_0000.jpg"]


def test_stored_files_are_copies_of_their_own(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "shared")

    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    module.prepare(source, tmp_path / "copied")
    for output in ("shared", "copied"):
        for name, original in (
            ("images/CASE_0000.jpg", f"{PHOTOS}/CASE_0000.jpg"),
            ("masks/CASE_0000_segmentation.png", f"{LESIONS}/CASE_0000_segmentation.png"),
        ):
            with (tmp_path / output / name).open("r+b") as stream:  # as a paint program saves
                assert stream.read() == files[original]
                stream.truncate(0)
            assert (source / original).read_bytes() == files[original]


def truncated(files: dict[str, bytes]) -> None:
    files[f"{PHOTOS}/CASE_0002.jpg"] = files[f"{PHOTOS}/CASE_0002.jpg"][:-400]


def truncated_mask(files: dict[str, bytes]) -> None:
    rough = np.random.default_rng(0).integers(0, 2, (32, 48), dtype=np.uint8) * 255
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = encode(Image.fromarray(rough), "PNG")[:-80]


def no_image(files: dict[str, bytes]) -> None:
    files[f"{PHOTOS}/CASE_0002.jpg"] = b"<html>not found</html>"


def wrong_size(files: dict[str, bytes]) -> None:
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = mask(32, 48)


def faint(files: dict[str, bytes]) -> None:
    levels = np.arange(48 * 32, dtype=np.uint8).reshape(32, 48) // 2
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = encode(Image.fromarray(levels), "PNG")


def without_lesion(files: dict[str, bytes]) -> None:
    del files[f"{LESIONS}/CASE_0002_segmentation.png"]


def without_attributes(files: dict[str, bytes]) -> None:
    del files[f"{MARKS}/CASE_0002_attribute_streaks.png"]
    del files[f"{MARKS}/CASE_0002_attribute_milia_like_cyst.png"]


def without_photo(files: dict[str, bytes]) -> None:
    del files[f"{PHOTOS}/CASE_0002.jpg"]


FAULTS = [
    (
        truncated,
        f"{PHOTOS}/CASE_0002.jpg",
        "cannot be used: the image is damaged or unsupported (image file is truncated",
    ),
    (truncated_mask, f"{LESIONS}/CASE_0002_segmentation.png", "cannot be used: the image is damaged"),
    (no_image, f"{PHOTOS}/CASE_0002.jpg", "cannot be used: this is not an image of a known format"),
    (
        wrong_size,
        f"{LESIONS}/CASE_0002_segmentation.png",
        "is 32x48 pixels, but its photo CASE_0002.jpg is 48x32",
    ),
    (faint, f"{LESIONS}/CASE_0002_segmentation.png", "cannot be used: this mask has 128 grey levels"),
    (without_lesion, f"{PHOTOS}/CASE_0002.jpg", "has no mask for lesion"),
    (without_attributes, f"{PHOTOS}/CASE_0002.jpg", "has no mask for streaks, milia like cyst"),
    (without_photo, f"{LESIONS}/CASE_0002_segmentation.png", "has no photo"),
]


@pytest.mark.parametrize(("spoil", "file", "what"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("packed", [False, True])
def test_bad_pair_is_named_and_left_out(
    tmp_path: Path, files: dict[str, bytes], spoil: Any, file: str, what: str, packed: bool
) -> None:
    spoil(files)
    write = write_archives if packed else write_folder
    source = write(tmp_path / "source", files)
    for size in (None, 16):
        summary = module.prepare(source, tmp_path / "out", task="both", size=size)
        [problem] = summary.left_out
        assert problem.id == "CASE_0002"
        assert problem.file.endswith(file)
        assert what in problem.what
        assert "CASE_0002" in str(summary)
        assert "7 images" in str(summary)
        assert str(summary).endswith("1 left out")
        assert sorted(items(tmp_path / "out")) == [name for name in IDS if name != "CASE_0002"]
        assert not list((tmp_path / "out").rglob("CASE_0002*"))


@pytest.mark.parametrize(("spoil", "file", "what"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_strict_ends_at_a_bad_pair(
    tmp_path: Path, files: dict[str, bytes], spoil: Any, file: str, what: str
) -> None:
    spoil(files)
    source = write_folder(tmp_path / "source", files)
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            module.prepare(source, tmp_path / "out", task="both", strict=True)
        assert file in str(caught.value)
        assert what in str(caught.value)
        assert not (tmp_path / "out/datalist.json").exists()
    assert len(module.prepare(source, tmp_path / "out", task="both").left_out) == 1
    with pytest.raises(InputError, match="CASE_0002"):
        module.prepare(source, tmp_path / "out", task="both", strict=True)


def test_damage_inside_an_archive_is_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    path = source / f"{PHOTOS}.zip"
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{PHOTOS}/CASE_0004.jpg")
    data = bytearray(path.read_bytes())
    data[member.header_offset + 30 + len(member.filename) + member.file_size // 2] ^= 0xFF
    path.write_bytes(data)
    [problem] = module.prepare(source, tmp_path / "out").left_out
    assert problem.file == f"{PHOTOS}.zip/{PHOTOS}/CASE_0004.jpg"
    assert "Bad CRC-32" in problem.what


def test_decompression_bomb_is_a_bad_pair(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {name: data for name, data in official_files(IDS[:4]).items() if not name.endswith(".txt")}
    for name in small:
        small[name] = mask(8, 8) if name.endswith(".png") else photo(8, 8)
    small[f"{PHOTOS}/CASE_0001.jpg"] = photo(48, 32)
    source = write_folder(tmp_path / "source", small)
    monkeypatch.setattr("dermaseg_monai.image_files.photo.MAX_PIXELS", 48 * 32 - 1)
    [problem] = module.prepare(source, tmp_path / "out").left_out
    assert problem.id == "CASE_0001"
    assert "limit" in problem.what


def test_file_larger_than_any_photo_is_not_read(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    files[f"{PHOTOS}/CASE_0001.jpg"] += b"\0" * 20_000
    source = write_archives(tmp_path / "source", files)
    monkeypatch.setattr("dermaseg_monai.datasets.sources.MAX_FILE_BYTES", 20_000)
    [problem] = module.prepare(source, tmp_path / "out").left_out
    assert problem.id == "CASE_0001"
    assert "more than any photo" in problem.what


@pytest.mark.parametrize("write", [write_folder, write_archives])
@pytest.mark.parametrize("size", [None, 16])
def test_second_run_decodes_and_changes_nothing(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, write: Any, size: int | None
) -> None:
    truncated(files)
    source = write(tmp_path / "source", files)
    first = module.prepare(source, tmp_path / "out", size=size)
    before = state(tmp_path / "out")
    decoder = CountingDecoder(monkeypatch)
    second = module.prepare(source, tmp_path / "out", size=size)
    assert decoder.calls == 0
    assert state(tmp_path / "out") == before
    assert second.left_out == first.left_out
    assert (first.reused, second.reused) == (0, 7)


def test_only_what_changed_is_done_again(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    truncated(files)
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out")
    fresh = photo(seed=50)
    (source / PHOTOS / "CASE_0002.jpg").unlink()
    (source / PHOTOS / "CASE_0002.jpg").write_bytes(fresh)  # mended
    (tmp_path / "out/masks/CASE_0005_segmentation.png").unlink()  # lost
    decoder = CountingDecoder(monkeypatch)
    summary = module.prepare(source, tmp_path / "out")
    assert decoder.calls == 4
    assert (summary.reused, summary.left_out) == (6, ())
    assert (tmp_path / "out/images/CASE_0002.jpg").read_bytes() == fresh
    assert (tmp_path / "out/masks/CASE_0005_segmentation.png").is_file()


def test_images_that_left_the_source_leave_the_output(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out", task="both")
    (tmp_path / "out/images/notes.txt").write_text("mine")
    for path in source.rglob("CASE_0006*"):
        path.unlink()
    module.prepare(source, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("CASE_0006*"))
    assert not list((tmp_path / "out/attributes").iterdir())
    assert (tmp_path / "out/images/notes.txt").read_text() == "mine"
    assert "CASE_0006" not in items(tmp_path / "out")


def test_interrupted_run_is_taken_up(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    replace, count = os.replace, 0

    def interrupt(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count >= 5:  # the journal, and two files a pair: from the second pair of each run
            raise KeyboardInterrupt
        replace(*arguments)

    journal = tmp_path / "out" / module.JOURNAL_NAME
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        for _ in range(2):
            count = 0
            with pytest.raises(KeyboardInterrupt):
                module.prepare(source, tmp_path / "out", workers=1)
            journal.write_text(journal.read_text() + '{"id": "CASE_00')  # a line cut short
    assert not (tmp_path / "out/datalist.json").exists()
    with pytest.raises(InputError, match="dermaseg prepare"):
        load_datalist(tmp_path / "out", "training")
    decoder = CountingDecoder(monkeypatch)
    summary = module.prepare(source, tmp_path / "out")
    assert summary.reused == 2
    assert decoder.calls == 2 * 6
    module.prepare(source, tmp_path / "whole")
    assert (tmp_path / "whole/datalist.json").read_bytes() == (tmp_path / "out/datalist.json").read_bytes()


def test_file_that_lost_its_content_is_stored_again(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out")
    (tmp_path / "out/images/CASE_0004.jpg").write_bytes(b"")  # as a power cut may leave it
    assert module.prepare(source, tmp_path / "out").reused == 7
    assert (tmp_path / "out/images/CASE_0004.jpg").read_bytes() == files[f"{PHOTOS}/CASE_0004.jpg"]


def test_killed_run_is_taken_up(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    killed = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from dermaseg_monai.datasets import prepare\n"
        "write, count = Path.write_bytes, [0]\n"
        "def half(path, data):\n"
        "    count[0] += 1\n"
        "    if count[0] == 6:\n"
        "        write(path, data[: len(data) // 2])\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(path, data)\n"
        "Path.write_bytes = half\n"
        "prepare(sys.argv[1], sys.argv[2], workers=1)\n"
    )
    command = [sys.executable, "-c", killed, str(source), str(tmp_path / "out")]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == -9
    half = list((tmp_path / "out").rglob(".*.png"))
    assert len(half) == 1
    assert not (tmp_path / "out/datalist.json").exists()
    summary = module.prepare(source, tmp_path / "out")
    assert summary.reused <= 2
    assert sum(summary.counts.values()) == 8
    assert not half[0].exists()
    for item in items(tmp_path / "out").values():
        assert (tmp_path / "out" / item["image"]).read_bytes() == files[f"{PHOTOS}/{item['id']}.jpg"]


def test_list_of_an_earlier_size_does_not_outlive_its_files(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dermaseg_monai.datasets.storing.store_pair", stop)
        with pytest.raises(KeyboardInterrupt):
            module.prepare(source, tmp_path / "out", size=16)
    assert not (tmp_path / "out/datalist.json").exists()
    module.prepare(source, tmp_path / "out", size=16)
    assert datalist(tmp_path / "out")["size"] == 16
    assert Image.open(tmp_path / "out/images/CASE_0000.jpg").size == (16, 11)
    assert Image.open(source / PHOTOS / "CASE_0000.jpg").size == (48, 32)


def test_size_reduces_photo_and_masks_alike(tmp_path: Path) -> None:
    tall = official_files(IDS[:3])
    ramp = np.linspace(0, 255, 90, dtype=np.uint8)[:, None, None].repeat(60, 1).repeat(3, 2)
    tall[f"{PHOTOS}/CASE_0001.jpg"] = encode(Image.fromarray(ramp), "JPEG", quality=95)
    # 3x3 source pixels make one: set where 2 of 3 columns or rows are in the box, clear at corners (4 of 9)
    tall[f"{LESIONS}/CASE_0001_segmentation.png"] = mask(60, 90, box=(4, 10, 37, 50))
    source = write_folder(tmp_path / "source", tall)
    module.prepare(source, tmp_path / "out", size=30)
    reduced = Image.open(tmp_path / "out/masks/CASE_0001_segmentation.png")
    assert (reduced.mode, reduced.format, reduced.size) == ("L", "PNG", (20, 30))
    expected = np.zeros((30, 20), np.uint8)
    expected[3:17, 1:12] = 255
    expected[[3, 16], 1] = 0
    np.testing.assert_array_equal(np.asarray(reduced), expected)
    image = Image.open(tmp_path / "out/images/CASE_0001.jpg")
    assert (image.mode, image.format, image.size) == ("RGB", "JPEG", (20, 30))
    middle = np.asarray(image)[:, 10, 0].astype(int)
    np.testing.assert_allclose(middle, ramp[1::3, 0, 0], atol=4)


def test_size_never_enlarges(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out", size=48)
    assert (tmp_path / "out/images/CASE_0000.jpg").read_bytes() == files[f"{PHOTOS}/CASE_0000.jpg"]
    lesion = (tmp_path / "out/masks/CASE_0000_segmentation.png").read_bytes()
    assert lesion == files[f"{LESIONS}/CASE_0000_segmentation.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, 32])
def test_oriented_photo_is_stored_upright(tmp_path: Path, orientation: int, size: int | None) -> None:
    upright = np.zeros((96, 64, 3), np.uint8)
    upright[:32, :24] = (250, 20, 20)  # one corner marks the way up
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = encode(Image.fromarray(np.ascontiguousarray(turn(upright))), "JPEG", quality=95, exif=exif)
    files = official_files(IDS[:3])
    files[f"{PHOTOS}/CASE_0001.jpg"] = stored
    files[f"{LESIONS}/CASE_0001_segmentation.png"] = mask(64, 96, box=(0, 0, 24, 32))
    source = write_folder(tmp_path / "source", files)
    summary = module.prepare(source, tmp_path / "out", size=size)
    assert not summary.left_out
    image = Image.open(tmp_path / "out" / items(tmp_path / "out")["CASE_0001"]["image"])
    lesion = Image.open(tmp_path / "out/masks/CASE_0001_segmentation.png")
    assert image.getexif().get(0x0112, 1) == 1
    assert image.size == lesion.size == ((64, 96) if size is None else (21, 32))
    red = np.asarray(image)[..., 0] >= 128
    assert np.mean(red != (np.asarray(lesion) >= 128)) < 0.03


def test_official_split(tmp_path: Path) -> None:
    files = {
        **official_files(IDS[:6]),
        **official_files(["V_1", "V_0"], "Validation"),
        **official_files(["T_1", "T_0"], "Test"),
    }
    source = write_archives(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out", task="both", split="official")
    content = datalist(tmp_path / "out")
    assert {item["id"] for item in content["training"]} == set(IDS[:6])
    assert [item["id"] for item in content["validation"]] == ["V_0", "V_1"]
    assert [item["id"] for item in content["test"]] == ["T_0", "T_1"]
    # the random split leaves the official validation and test images alone
    module.prepare(source, tmp_path / "random")
    assert set(items(tmp_path / "random")) == set(IDS[:6])
    (source / "ISIC2018_Task1_Test_GroundTruth.zip").unlink()
    with pytest.raises(InputError, match="no files of ISIC2018_Task1_Test_GroundTruth;"):
        module.prepare(source, tmp_path / "out", split="official")


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
        module.prepare(**{"source": "source", "output": "out", **arguments})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_source_without_the_masks_of_the_task(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(
        tmp_path / "source", {name: data for name, data in files.items() if LESIONS not in name}
    )
    with pytest.raises(InputError, match=LESIONS):
        module.prepare(source, tmp_path / "out")
    assert not module.prepare(source, tmp_path / "out", task="attribute").left_out


def test_source_without_one_whole_pair(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    shutil.rmtree(source / LESIONS)
    write_folder(source, {f"{LESIONS}/OTHER_segmentation.png": mask()})
    with pytest.raises(InputError, match="has all its masks"):
        module.prepare(source, tmp_path / "out")
    bad = {name: b"" if PHOTOS in name else data for name, data in files.items()}
    with pytest.raises(InputError, match="none of the 8 images"):
        module.prepare(write_folder(tmp_path / "bad", bad), tmp_path / "out")


def test_duplicate_ids(tmp_path: Path, files: dict[str, bytes]) -> None:
    files[f"{PHOTOS}/CASE_0003.png"] = photo(form="PNG")
    with pytest.raises(InputError, match=r"CASE_0003 comes twice.*CASE_0003.jpg and .*CASE_0003.png"):
        module.prepare(write_folder(tmp_path / "source", files), tmp_path / "out")
    across = {
        **official_files(IDS[:4]),
        **official_files(IDS[3:5], "Validation"),
        **official_files(["T"], "Test"),
    }
    with pytest.raises(InputError, match="CASE_0003 lies both in"):
        module.prepare(write_folder(tmp_path / "across", across), tmp_path / "out", split="official")


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_unsafe_archive_paths(tmp_path: Path, files: dict[str, bytes], path: str) -> None:
    source = write_archives(tmp_path / "source", files)
    with zipfile.ZipFile(source / f"{PHOTOS}.zip", "a") as archive:
        archive.writestr(f"{path}/{PHOTOS}/CASE_0009.jpg", photo())
    with pytest.raises(InputError, match="unsafe path"):
        module.prepare(source, tmp_path / "out")


def test_archive_that_is_no_archive(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    path = source / f"{LESIONS}.zip"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=rf"{LESIONS}.zip cannot be read"):
        module.prepare(source, tmp_path / "out")


def test_linked_source_folders_are_followed_but_not_in_circles(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    real = write_folder(tmp_path / "disk", files)
    source = tmp_path / "source"
    source.mkdir()
    (source / "data").symlink_to(real, target_is_directory=True)
    (real / "back").symlink_to(source, target_is_directory=True)
    assert sum(module.prepare(source, tmp_path / "out").counts.values()) == 8


def drawn() -> tuple[Image.Image, Image.Image]:
    """A photo and its mask, whose corners all differ."""
    y, x = np.mgrid[:48, :64]
    inside = ((x - 26) / 14) ** 2 + ((y - 18) / 12) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 4, (48, 64, 1))
    colours = np.where(inside[..., None], (96, 58, 44), (214, 160, 130)) + noise
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8)), Image.fromarray(inside * np.uint8(255))


def tag(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def photos_of_all_kinds() -> dict[str, bytes]:
    """Photos by file name, all of one scene."""
    scene, _ = drawn()
    grey = np.asarray(scene.convert("L"))
    turned = scene.transpose(Image.Transpose.ROTATE_90)
    return {
        "plain.jpg": encode(scene, "JPEG", quality=95),
        "png_called.jpg": encode(scene, "PNG"),
        "turned.jpg": encode(turned, "JPEG", quality=95, exif=tag(6)),
        "turned.tif": encode(turned, "TIFF", exif=tag(6)),
        "turned_grey.tif": encode(turned.convert("L"), "TIFF", exif=tag(6)),
        "12_bit.png": encode(Image.fromarray(grey.astype(np.uint16) * 16), "PNG"),
        "16_bit.tif": encode(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        "integer.tif": encode(Image.fromarray(grey.astype(np.int32) * 1000), "TIFF"),
        "float.tif": encode(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"),
        "avif_called.jpg": encode(scene, "AVIF", quality=95),
        "webp.webp": encode(scene, "WEBP", quality=95),
        "no_ending": encode(scene, "JPEG", quality=95),
        "palette.png": encode(scene.quantize(128), "PNG"),
        "transparent.png": encode(scene.convert("RGBA"), "PNG"),
        "bitmap.bmp": encode(scene, "BMP"),
        "inks.jpg": encode(scene.convert("CMYK"), "JPEG", quality=95),
    }


def test_what_is_stored_is_what_inference_shows(tmp_path: Path) -> None:
    _, lesion = drawn()
    originals = photos_of_all_kinds()
    files = {f"{PHOTOS}/{name}": data for name, data in originals.items() if name != "turned.tif"}
    files[f"{PHOTOS}/turned_tiff.tif"] = originals["turned.tif"]
    for name in list(files):
        files[f"{LESIONS}/{Path(name).stem}_segmentation.png"] = encode(lesion, "PNG")
    source = write_folder(tmp_path / "source", files)
    for size in (None, 32):
        output = tmp_path / f"out{size}"
        assert not module.prepare(source, output, size=size).left_out
        truth = (
            np.asarray(lesion.resize((64, 48) if size is None else (32, 24), Image.Resampling.NEAREST)) > 0
        )
        for name in files:
            if not name.startswith(PHOTOS):
                continue
            item = items(output)[Path(name).stem]
            shown = read_photo(source / name)
            stored = read_photo(output / item["image"])
            if size is None:
                assert np.array_equal(stored, shown), name
                assert np.array_equal(read_mask(output / item["label"]) > 0, truth), name
            else:
                small = np.asarray(Image.fromarray(shown).resize((32, 24), Image.Resampling.BOX))
                assert np.abs(stored.astype(int) - small.astype(int)).mean() < 4, name
                agree = (read_mask(output / item["label"]) > 0) & truth
                assert agree.sum() / truth.sum() > 0.9, name
    stored = {path.name for path in (tmp_path / "outNone" / "images").iterdir()}
    assert {
        "plain.jpg",
        "png_called.png",
        "turned.png",
        "12_bit.png",
        "no_ending.jpg",
        "bitmap.png",
    } <= stored


def test_masks_of_any_two_values_are_stored_as_0_and_255(tmp_path: Path) -> None:
    scene, lesion = drawn()
    white = np.full((48, 64, 4), 255, np.uint8)
    white[..., 3] = np.asarray(lesion)
    masks = {
        "plain.png": encode(lesion, "PNG"),
        "0_1.png": encode(lesion.point(lambda value: value // 255), "PNG"),
        "alpha.png": encode(Image.fromarray(white), "PNG"),
        "copied_tag.png": encode(lesion, "PNG", exif=tag(3)),
        "jpeg.jpg": encode(lesion, "JPEG", quality=90),
        "photo.png": encode(scene, "PNG"),
        "empty.png": encode(Image.new("L", (64, 48)), "PNG"),
        "full.png": encode(Image.new("L", (64, 48), 255), "PNG"),
    }
    files = {}
    for name, data in masks.items():
        stem, ending = name.split(".")
        files |= {
            f"{LESIONS}/{stem}_segmentation.{ending}": data,
            f"{PHOTOS}/{stem}.png": encode(scene, "PNG"),
        }
    source = write_folder(tmp_path / "source", files)
    summary = module.prepare(source, tmp_path / "out")
    [problem] = summary.left_out
    assert problem.id == "photo"
    assert "a picture in colours" in problem.what
    for name in ("plain", "0_1", "alpha", "copied_tag", "jpeg"):
        with Image.open(tmp_path / "out" / items(tmp_path / "out")[name]["label"]) as stored:
            assert stored.format == "PNG"
            assert not stored.getexif()
            assert (np.asarray(stored) != np.asarray(lesion)).mean() < 0.01, name
            assert set(np.unique(stored)) == {0, 255}
    text = str(summary)
    assert f"1 mask ({LESIONS}/jpeg_segmentation.jpg): a JPEG" in text
    assert f"1 mask ({LESIONS}/copied_tag_segmentation.png): an orientation tag" in text
    assert "1 mask (empty): empty" in text
    assert "1 mask (full): all lesion" in text
    assert str(module.prepare(source, tmp_path / "out")).splitlines()[:-1] == text.splitlines()[:-1]


def test_soft_masks_are_taken_when_asked_for(tmp_path: Path, files: dict[str, bytes]) -> None:
    faint(files)
    source = write_folder(tmp_path / "source", files)
    assert len(module.prepare(source, tmp_path / "out").left_out) == 1
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = encode(
        Image.linear_gradient("L").resize((48, 32)), "PNG"
    )
    write_folder(source, files)
    assert not module.prepare(source, tmp_path / "out", soft_masks=True).left_out
    stored = read_mask(tmp_path / "out/masks/CASE_0002_segmentation.png")
    assert stored[:15].max() == 0
    assert stored[17:].min() == 1


def test_a_list_that_a_person_wrote_is_not_replaced(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    output = tmp_path / "out"
    module.prepare(source, output)
    content = datalist(output)
    moved = content["training"].pop()
    content["test"].append(moved)
    mine = json.dumps(content)
    (output / "datalist.json").write_text(mine)
    (source / PHOTOS / "CASE_0001.jpg").unlink()
    before = state(output)
    with pytest.raises(InputError, match=r"datalist\.json was written or changed by hand"):
        module.prepare(source, output)
    assert state(output) == before
    assert (output / "datalist.json").read_text() == mine
    # another layout of the same list is as good as the program's own
    (output / "datalist.json").unlink()
    module.prepare(source, output)
    (output / "datalist.json").write_text(json.dumps(datalist(output), indent=4))
    assert module.prepare(source, output).reused == 7


def test_a_list_without_anything_else_is_not_replaced(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/datalist.json").write_text('{"training": []}')
    with pytest.raises(InputError, match="by hand"):
        module.prepare(write_folder(tmp_path / "source", files), tmp_path / "out")


@pytest.mark.parametrize("size", [None, 24])
def test_a_stored_file_that_a_person_changed_is_not_replaced(
    tmp_path: Path, files: dict[str, bytes], size: int | None
) -> None:
    source = write_folder(tmp_path / "source", files)
    output = tmp_path / "out"
    module.prepare(source, output)
    mended = mask(box=(5, 5, 9, 9))
    (output / "masks/CASE_0003_segmentation.png").write_bytes(mended)
    with pytest.raises(InputError, match=r"CASE_0003_segmentation\.png was changed since it was stored"):
        module.prepare(source, output, size=size)
    assert (output / "masks/CASE_0003_segmentation.png").read_bytes() == mended


def test_a_copied_folder_is_known_by_its_content(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    decoder = CountingDecoder(monkeypatch)
    assert module.prepare(source, tmp_path / "copy").reused == 8
    assert decoder.calls == 0


def test_names_that_are_not_utf_8_or_mean_nothing_to_table_readers(tmp_path: Path) -> None:
    names = [b"a", b"NA", b"null", b"R\xfccken", b"gr\xc3\xb6\xc3\x9fer"]
    for name in names:
        for folder, ending, data in ((PHOTOS, b".jpg", photo()), (LESIONS, b"_segmentation.png", mask())):
            path = os.fsencode(tmp_path / "source" / folder)
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, name + ending), "wb") as stream:
                stream.write(data)
    summary = module.prepare(tmp_path / "source", tmp_path / "out")
    assert not summary.left_out
    assert set(items(tmp_path / "out")) == {"a", "NA", "null", "R%FCcken", "größer"}
    assert (tmp_path / "out/images/R%FCcken.jpg").is_file()
    assert module.prepare(tmp_path / "source", tmp_path / "out").reused == 5
    str(summary).encode()  # can be printed anywhere


def test_files_passed_over_are_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    files |= {f"{PHOTOS}/notes.pdf": b"%PDF", f"{PHOTOS}/raw.nef": b"II*\0", f"{LESIONS}/x.psd": b"8BPS"}
    summary = module.prepare(write_folder(tmp_path / "source", files), tmp_path / "out")
    assert f"passed over 3 files ({PHOTOS}/notes.pdf, {PHOTOS}/raw.nef, {LESIONS}/x.psd)" in str(summary)


@pytest.mark.parametrize("ending", ["_mask.png", "-Segmentation.PNG", ".png", "_lesion.bmp", "_gt.tif"])
def test_masks_under_other_endings_are_found(tmp_path: Path, files: dict[str, bytes], ending: str) -> None:
    _, lesion = drawn()
    form = {".bmp": "BMP", ".tif": "TIFF"}.get(Path(ending).suffix, "PNG")
    for name in IDS:
        del files[f"{LESIONS}/{name}_segmentation.png"]
        files[f"{LESIONS}/{name}{ending}"] = encode(lesion.resize((48, 32), Image.Resampling.NEAREST), form)
    assert not module.prepare(write_folder(tmp_path / "source", files), tmp_path / "out").left_out

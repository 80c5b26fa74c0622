from __future__ import annotations

import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.data.datalist import load_datalist
from dermaseg_monai.errors import InputError

from .layout import (
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
module = importlib.import_module("dermaseg_monai.data.prepare")

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
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


class CountingDecoder:
    """Stands in for ``Image.open`` and counts what is decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.open = Image.open
        monkeypatch.setattr(module.Image, "open", self)

    def __call__(self, stream: io.BytesIO) -> Image.Image:
        self.calls += 1
        return self.open(stream)


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


def test_files_are_linked_where_possible_and_copied_elsewhere(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "linked")
    assert (tmp_path / "linked/images/CASE_0000.jpg").samefile(source / PHOTOS / "CASE_0000.jpg")

    def refuse(*_: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    module.prepare(source, tmp_path / "copied")
    copy = tmp_path / "copied/images/CASE_0000.jpg"
    assert not copy.samefile(source / PHOTOS / "CASE_0000.jpg")
    assert copy.read_bytes() == files[f"{PHOTOS}/CASE_0000.jpg"]


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
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = mask(value=1)


def without_lesion(files: dict[str, bytes]) -> None:
    del files[f"{LESIONS}/CASE_0002_segmentation.png"]


def without_attributes(files: dict[str, bytes]) -> None:
    del files[f"{MARKS}/CASE_0002_attribute_streaks.png"]
    del files[f"{MARKS}/CASE_0002_attribute_milia_like_cyst.png"]


def without_photo(files: dict[str, bytes]) -> None:
    del files[f"{PHOTOS}/CASE_0002.jpg"]


FAULTS = [
    (truncated, f"{PHOTOS}/CASE_0002.jpg", "can not be read fully (image file is truncated"),
    (truncated_mask, f"{LESIONS}/CASE_0002_segmentation.png", "can not be read fully"),
    (no_image, f"{PHOTOS}/CASE_0002.jpg", "can not be read fully (cannot identify image file)"),
    (
        wrong_size,
        f"{LESIONS}/CASE_0002_segmentation.png",
        "is 32x48 pixels, but its photo CASE_0002.jpg is 48x32",
    ),
    (faint, f"{LESIONS}/CASE_0002_segmentation.png", "has no pixel of 128 or more"),
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


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [48 * 32 - 1, 48 * 32 // 2 - 1])
def test_decompression_bomb_is_a_bad_pair(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    small = {name: data for name, data in official_files(IDS[:4]).items() if not name.endswith(".txt")}
    for name in small:
        small[name] = mask(8, 8) if name.endswith(".png") else photo(8, 8)
    small[f"{PHOTOS}/CASE_0001.jpg"] = photo(48, 32)
    source = write_folder(tmp_path / "source", small)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    [problem] = module.prepare(source, tmp_path / "out").left_out
    assert problem.id == "CASE_0001"
    assert "limit" in problem.what


def test_file_larger_than_any_photo_is_not_read(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    files[f"{PHOTOS}/CASE_0001.jpg"] += b"\0" * 20_000
    source = write_archives(tmp_path / "source", files)
    monkeypatch.setattr("dermaseg_monai.data.sources.MAX_FILE_BYTES", 20_000)
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
        if count >= 4:  # two files a pair: from the second pair of each run
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
        "from dermaseg_monai.data import prepare\n"
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
        patch.setattr(module, "_store_pair", stop)
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
    image = Image.open(tmp_path / "out/images/CASE_0001.jpg")
    lesion = Image.open(tmp_path / "out/masks/CASE_0001_segmentation.png")
    assert image.getexif().get(0x0112, 1) == 1
    assert image.size == lesion.size == ((64, 96) if size is None else (21, 32))
    red = np.asarray(image)[..., 0] >= 128
    assert np.mean(red != (np.asarray(lesion) >= 128)) < 0.03


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.full((40, 60), 40_000, np.uint16)),
        Image.new("L", (60, 40), 156),
        Image.new("RGBA", (60, 40), (156, 156, 156, 200)),
        Image.new("P", (60, 40)).convert("P"),
        Image.new("LA", (60, 40), (156, 9)),
    ],
    ids=lambda image: image.mode,
)
def test_reduced_photos_of_any_mode_are_rgb(tmp_path: Path, image: Image.Image) -> None:
    files = official_files(IDS[:3])
    if image.mode == "P":
        image.putpalette([156] * 768)
    del files[f"{PHOTOS}/CASE_0001.jpg"]
    files[f"{PHOTOS}/CASE_0001.png"] = encode(image, "PNG")
    files[f"{LESIONS}/CASE_0001_segmentation.png"] = mask(60, 40)
    source = write_folder(tmp_path / "source", files)
    module.prepare(source, tmp_path / "out", size=30)
    pixels = np.asarray(Image.open(tmp_path / "out/images/CASE_0001.jpg"))
    assert pixels.shape == (20, 30, 3)
    np.testing.assert_allclose(pixels.astype(int), 156, atol=1)


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
    with pytest.raises(InputError, match="None of the 8 images"):
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
    with pytest.raises(InputError, match=rf"{LESIONS}.zip can not be read"):
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

"""Pairs that cannot be used are named and left out."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.datasets import prepare
from dermaseg_monai.utils.errors import InputError
from tests.datasets.layout import (
    encode,
    mask,
    official_files,
    photo,
    write_archives,
    write_folder,
)
from tests.datasets.prepared import IDS, LESIONS, MARKS, PHOTOS, faint, items, truncated


def truncated_mask(files: dict[str, bytes]) -> None:
    rough = np.random.default_rng(0).integers(0, 2, (32, 48), dtype=np.uint8) * 255
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = encode(Image.fromarray(rough), "PNG")[:-80]


def no_image(files: dict[str, bytes]) -> None:
    files[f"{PHOTOS}/CASE_0002.jpg"] = b"<html>not found</html>"


def wrong_size(files: dict[str, bytes]) -> None:
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = mask(32, 48)


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
        summary = prepare(source, tmp_path / "out", task="both", size=size)
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
            prepare(source, tmp_path / "out", task="both", strict=True)
        assert file in str(caught.value)
        assert what in str(caught.value)
        assert not (tmp_path / "out/datalist.json").exists()
    assert len(prepare(source, tmp_path / "out", task="both").left_out) == 1
    with pytest.raises(InputError, match="CASE_0002"):
        prepare(source, tmp_path / "out", task="both", strict=True)


def test_damage_inside_an_archive_is_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    path = source / f"{PHOTOS}.zip"
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{PHOTOS}/CASE_0004.jpg")
    data = bytearray(path.read_bytes())
    data[member.header_offset + 30 + len(member.filename) + member.file_size // 2] ^= 0xFF
    path.write_bytes(data)
    [problem] = prepare(source, tmp_path / "out").left_out
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
    [problem] = prepare(source, tmp_path / "out").left_out
    assert problem.id == "CASE_0001"
    assert "limit" in problem.what


def test_file_larger_than_any_photo_is_not_read(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    files[f"{PHOTOS}/CASE_0001.jpg"] += b"\0" * 20_000
    source = write_archives(tmp_path / "source", files)
    monkeypatch.setattr("dermaseg_monai.datasets.sources.MAX_FILE_BYTES", 20_000)
    [problem] = prepare(source, tmp_path / "out").left_out
    assert problem.id == "CASE_0001"
    assert "more than any photo" in problem.what

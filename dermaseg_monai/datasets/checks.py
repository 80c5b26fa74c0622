"""Checking of one photo with its masks, and storing them as they are or in a form that any reader shows alike."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dermaseg_monai.datasets import isic2018
from dermaseg_monai.datasets.journal import FileStamp, Record, stamp
from dermaseg_monai.datasets.sources import SourceFile
from dermaseg_monai.image_files import open_mask, open_photo
from dermaseg_monai.utils.errors import InputError, refusal
from dermaseg_monai.utils.files import temporary_path

FOLDERS = {"image": "images", "lesion": "masks", **dict.fromkeys(isic2018.ATTRIBUTES, "attributes")}
MASK_SUFFIXES = {"lesion": isic2018.LESION_SUFFIX, **isic2018.ATTRIBUTE_SUFFIXES}

_JPEG_QUALITY = 95
_ARCHIVE_ERRORS = (OSError, EOFError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Pair:
    """A photo and its masks in the source.

    Attributes:
        id: the image.
        files: by role: "image", "lesion" and the attributes' names.
        key: hash of the files and of how they are to be stored.
    """

    id: str
    files: Mapping[str, SourceFile]
    key: str


class _BadFileError(Exception):
    def __init__(self, file: SourceFile, what: str) -> None:
        super().__init__(what)
        self.problem = (file.name, what)


def store_pair(pair: Pair, output: Path, size: int | None, soft: bool) -> Record:
    """Check a photo with its masks, and store them.

    What is stored shows what the source shows, pixel for pixel where it is not reduced: files that any reader shows
    alike byte for byte, in copies of their own; other photos as PNG, other masks as PNG of 0 and 255.

    Args:
        pair: the files.
        output: the prepared folder.
        size: longest side of what is stored, in pixels; None for the files' own.
        soft: take masks of grey levels.

    Returns:
        The files stored, or what is wrong with one of them.
    """
    record = Record(pair.id, pair.key)
    try:
        frame = _store_photo(pair, output, size, record)
        for role in pair.files:
            if role != "image":
                _store_mask(pair, role, output, size, soft, frame, record)
    except _BadFileError as error:
        for file in record.files.values():
            (output / file.name).unlink(missing_ok=True)
        return Record(pair.id, pair.key, problem=error.problem)
    return record


def _store_photo(pair: Pair, output: Path, size: int | None, record: Record) -> tuple[int, int]:
    """Store the photo; its upright (width, height) in the source."""
    file = pair.files["image"]
    with _readable(file, output / FOLDERS["image"]) as path:
        photo = open_photo(path, None if size is None else 2 * size)
        frame = photo.size[1], photo.size[0]
        target = _reduced(frame, size)
        if target == frame and photo.portable:
            content: Path | bytes = path
        elif target == frame:
            content = _encoded(Image.fromarray(photo.pixels), "PNG")
        else:
            top, left, bottom, right = photo.extent
            reduced = Image.fromarray(photo.pixels).resize(
                target, Image.Resampling.LANCZOS, box=(left, top, right, bottom), reducing_gap=2.0
            )
            content = _encoded(reduced, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        if photo.pixels_per_mm is not None:
            record.pixels_per_mm = photo.pixels_per_mm * max(target) / max(frame)
        suffix = (photo.portable or ".png") if target == frame else ".jpg"
        record.files["image"] = _place(content, output, f"{FOLDERS['image']}/{pair.id}{suffix}")
    return frame


def _store_mask(
    pair: Pair, role: str, output: Path, size: int | None, soft: bool, frame: tuple[int, int], record: Record
) -> None:
    file = pair.files[role]
    with _readable(file, output / FOLDERS[role]) as path:
        mask = open_mask(path, soft)
        height, width = mask.pixels.shape
        if (width, height) != frame:
            photo = pair.files["image"].file_name
            raise _BadFileError(
                file, f"is {width}x{height} pixels, but its photo {photo} is {frame[0]}x{frame[1]}"
            )
        target = _reduced(frame, size)
        grey = Image.fromarray(mask.pixels * np.uint8(255))
        if target != frame:
            reduced = grey.resize(target, Image.Resampling.BOX)
            grey = reduced.point(lambda value: 255 if value >= 128 else 0)
        content = path if target == frame and mask.portable else _encoded(grey, "PNG")
        record.files[role] = _place(content, output, f"{FOLDERS[role]}/{pair.id}{MASK_SUFFIXES[role]}")
    record.notes.extend((file.name, note) for note in mask.notes)
    if role == "lesion":
        record.area = float(mask.pixels.mean())


@contextmanager
def _readable(file: SourceFile, folder: Path) -> Iterator[Path]:
    """The file's path; why it cannot be read is said of the source, not of a temporary name."""
    try:
        with file.on_disk(folder) as path:
            try:
                yield path
            except InputError as error:
                raise _BadFileError(file, f"cannot be used: {_reason(error, path)}") from error
    except (InputError, *_ARCHIVE_ERRORS) as error:
        if refusal(error) is not None:
            raise  # a disk that is full or broken, which no other file would change
        raise _BadFileError(file, f"cannot be used: {str(error) or type(error).__name__}") from error


def _reason(error: InputError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ").removesuffix(".")


def _reduced(frame: tuple[int, int], size: int | None) -> tuple[int, int]:
    if size is None or max(frame) <= size:
        return frame
    scale = size / max(frame)
    return max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _place(content: Path | bytes, output: Path, name: str) -> FileStamp:
    """Put a file in its place in one step; whether it reached the disk is ensured once, for all files."""
    path = output / name
    temporary = temporary_path(path)
    try:
        if isinstance(content, bytes):
            temporary.write_bytes(content)
            crc = zlib.crc32(content)
        else:
            crc = _copy(content, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return stamp(output, name, crc)


def _copy(source: Path, target: Path) -> int:
    """Copy the bytes; file systems that can (XFS, Btrfs) share them until one of the files changes.

    Gives the CRC-32 of what was copied. A hard link would let a stroke of the brush on the stored mask change the
    original.
    """
    with source.open("rb") as original, target.open("wb") as copy:
        try:
            while os.copy_file_range(original.fileno(), copy.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # not on this system, or not between these file systems
            original.seek(0)
            copy.seek(0)
            copy.truncate()
            shutil.copyfileobj(original, copy)
        original.seek(0)
        return zlib.crc32(original.read())

"""Kinds of photo files, told by their names and by their first bytes."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

DICOM_SUFFIXES = (".dcm", ".dicom")
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".webp", ".avif"),
    *(".jp2", ".j2k", ".ppm", ".pgm"),
    *HEIF_SUFFIXES,
    *DICOM_SUFFIXES,
)
"""File name endings (lower case) of photos; a file with one of them is a photo, or a damaged one."""

SIGNATURE_BYTES = 132
_SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"),
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),  # JPEG 2000, with and without boxes
)
_TIFF = (b"II*\0", b"MM\0*")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


def is_photo_name(name: str) -> bool:
    """Whether a file name is a photo's: not hidden, and with a photo's ending in any letter case."""
    path = PurePath(name)
    return not path.name.startswith(".") and path.suffix.lower() in PHOTO_SUFFIXES


def is_photo_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a photo by its name, or where that says nothing by its content.

    Raw files of cameras, which begin as TIFF files do, are none: what Pillow shows of them is a thumbnail.

    Args:
        path: the file; one that cannot be opened is what its name says.
    """
    path = Path(path)
    if path.name.startswith("."):
        return False
    return is_photo_name(path.name) or has_photo_signature(first_bytes(path), path.suffix)


def first_bytes(path: Path) -> bytes:
    """The bytes that tell a file's kind; none of what is no file or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(SIGNATURE_BYTES)
    except OSError:
        return b""


def has_photo_signature(start: bytes, suffix: str) -> bool:
    """Whether a file of an unknown ending begins like a photo.

    Args:
        start: its first ``SIGNATURE_BYTES`` bytes.
        suffix: its ending.
    """
    if start.startswith(_TIFF):
        return not suffix
    bitmap = start[:2] == b"BM" and start[6:10] == bytes(4)
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    avif = start[4:8] == b"ftyp" and start[8:12] in _AVIF_BRANDS
    return start.startswith(_SIGNATURES) or bitmap or webp or avif or is_heif(start) or is_dicom(start)


def is_dicom(start: bytes) -> bool:
    """Whether a file's first bytes are those of a DICOM file (PS3.10)."""
    return start[128:132] == b"DICM"


def is_heif(start: bytes) -> bool:
    """Whether a file's first bytes are those of a HEIF file (ISO/IEC 23008-12), as iPhones write them."""
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS

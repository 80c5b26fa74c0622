"""Photos of every kind of trouble, made cheaply."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.datasets.layout import ORIENTATION, encode

SIZE = (48, 40)
"""(width, height) of every photo, as seen."""

Maker = Callable[[Path], None]


def colours(seed: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def saved(image: Image.Image, form: str = "PNG", **options: object) -> Maker:
    return lambda path: path.write_bytes(encode(image, form, **options)) and None  # type: ignore[func-returns-value]


def cut(form: str) -> Maker:
    data = encode(colours(), form)
    return lambda path: path.write_bytes(data[: len(data) // 2]) and None  # type: ignore[func-returns-value]


def overwritten(form: str, start: int) -> Maker:
    data = bytearray(encode(colours(), form))
    data[start : start + 300] = bytes(300)
    return lambda path: path.write_bytes(bytes(data)) and None  # type: ignore[func-returns-value]


def bomb(path: Path) -> None:
    """A PNG of 30,000 x 30,000 pixels in some bytes: nobody may start to decode it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(90_000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def turned() -> Maker:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return saved(colours(size=SIZE[::-1]), "JPEG", exif=exif)


def linked(path: Path) -> None:
    target = path.parent.parent / f"elsewhere {path.name}"
    saved(colours(), "PNG")(target)
    path.symlink_to(target)


def broken_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere.png")


def circular_link(path: Path) -> None:
    path.symlink_to(path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


GOOD: dict[str, Maker] = {
    "plain.jpg": saved(colours(), "JPEG"),
    "PNG inside.jpg": saved(colours(), "PNG"),
    "grayscale.png": saved(colours().convert("L")),
    "palette.png": saved(colours().convert("P")),
    "transparent.png": saved(colours().convert("RGBA")),
    "inks.jpg": saved(colours().convert("CMYK"), "JPEG"),
    "sixteen bits.png": saved(Image.fromarray(np.arange(1920, dtype=np.uint16).reshape(40, 48) * 30)),
    "animated.png": saved(colours(), "GIF", save_all=True, append_images=[colours(1), colours(2)]),
    "turned.jpg": turned(),
    "naevus größer 痣.png": saved(colours()),
    "link.png": linked,
}
"""Photos that are read like any other, by file name; one of each is ``SIZE`` as seen."""

BAD: dict[str, tuple[Maker, str]] = {
    "cut.jpg": (cut("JPEG"), "truncated"),
    "cut.png": (cut("PNG"), "damaged"),
    "overwritten.jpg": (overwritten("JPEG", 40), "not an image of a known format"),
    "overwritten.png": (overwritten("PNG", 41), "damaged"),
    "nothing.jpg": (lambda path: path.touch(), "the file is empty (0 bytes)"),
    "a text.jpg": (lambda path: path.write_text("no photo") and None, "not an image of a known format"),  # type: ignore[func-returns-value]
    "bomb.png": (bomb, "pixels"),
    "link to nowhere.png": (broken_link, "there is no such file"),
    "link to itself.png": (circular_link, "cannot be reached"),
    "pipe.png": (pipe, "this is not a file"),
}
"""Photos that cannot be read, by file name, and what is said of them."""

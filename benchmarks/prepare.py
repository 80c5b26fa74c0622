"""Preparation of a data set beside a plain Pillow loop that does the same checks, each in a process of its own.

    python benchmarks/prepare.py --count 10000
    python benchmarks/prepare.py --count 10000 --folders "['isic','ham10000']"

Prints photos per second, seconds of processor time and the most memory that each held.
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import fire
import numpy as np
from PIL import Image

from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets.isic2018 import SECTIONS


def draw(root: Path, drawn: Path, count: int, width: int, height: int) -> None:
    """Write ``count`` photos and masks in two folders; links to a few drawn ones, so that the disk holds them."""
    for folder in (root / "images", root / "masks", drawn):
        folder.mkdir(parents=True)
    y, x = np.mgrid[:height, :width]
    for index in range(16):
        noise = np.random.default_rng(index).normal(180, 12, (height, width, 3)).clip(0, 255).astype(np.uint8)
        inside = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2 < 0.05).astype(np.uint8) * 255
        Image.fromarray(noise).save(drawn / f"{index}.jpg", quality=90)
        Image.fromarray(inside).save(drawn / f"{index}.png")
    for index in range(count):
        (root / "images" / f"{index:06}.jpg").symlink_to(drawn / f"{index % 16}.jpg")
        (root / "masks" / f"{index:06}.png").symlink_to(drawn / f"{index % 16}.png")


def link(root: Path, count: int, folders: Sequence[str]) -> None:
    """Link ``count`` photos and masks of prepared folders under names of their own, over and over."""
    items = [item for folder in folders for section in SECTIONS for item in load_datalist(folder, section)]
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for index, item in zip(range(count), itertools.cycle(items), strict=False):
        (root / "images" / f"{index:06}{Path(item['image']).suffix}").symlink_to(item["image"])
        (root / "masks" / f"{index:06}.png").symlink_to(item["label"])


def plain(source: str, output: str) -> None:
    """Decode, compare sizes, look for two values, and copy: one photo after the other."""
    for photo in sorted((Path(source) / "images").iterdir()):
        mask = Path(source) / "masks" / f"{photo.stem}.png"
        with Image.open(photo) as image, Image.open(mask) as grey:
            image.load()
            if image.size != grey.size or len(grey.convert("L").getcolors()) > 2:
                raise SystemExit(f"{photo} and {mask} do not fit")
        for file in (photo, mask):
            (Path(output) / file.name).write_bytes(file.read_bytes())


def one(way: str, source: str, output: str) -> None:
    """Time one way in this process."""
    begin = time.perf_counter()
    if way == "plain":
        Path(output).mkdir()
        plain(source, output)
    else:
        from dermaseg_monai.datasets import prepare

        prepare(source, output)
    count = len(list((Path(source) / "images").iterdir()))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak, busy = usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
    rate = count / (time.perf_counter() - begin)
    print(f"{way:8} {rate:8.0f} photos/s {busy:8.1f} s of processors {peak:8.0f} MiB", flush=True)


def main(count: int = 10_000, width: int = 600, height: int = 450, folders: Sequence[str] = ()) -> None:
    """Compare both ways.

    Args:
        count: photos.
        width: of each, in pixels.
        height: of each, in pixels.
        folders: prepared folders to take photos and masks from, instead of drawn ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        if folders:
            link(source, count, folders)
        else:
            draw(source, Path(folder) / "drawn", count, width, height)
        for way in ("plain", "prepare"):
            words = [sys.executable, __file__, "one", way, str(source), str(Path(folder) / way)]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    fire.Fire({"main": main, "one": one} if sys.argv[1:2] == ["one"] else main)

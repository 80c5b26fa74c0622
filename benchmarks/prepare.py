"""Preparation of a data set beside a plain Pillow loop that does the same checks, each in a process of its own.

    python benchmarks/prepare.py --count 10000

Prints photos per second and the most memory that each held.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fire
import numpy as np
from PIL import Image


def draw(root: Path, count: int, width: int, height: int) -> None:
    """Write ``count`` photos and masks in two folders; links to a few drawn ones, so that the disk holds them."""
    for folder in ("images", "masks", "drawn"):
        (root / folder).mkdir(parents=True)
    y, x = np.mgrid[:height, :width]
    for index in range(16):
        noise = np.random.default_rng(index).normal(180, 12, (height, width, 3)).clip(0, 255).astype(np.uint8)
        inside = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2 < 0.05).astype(np.uint8) * 255
        Image.fromarray(noise).save(root / "drawn" / f"{index}.jpg", quality=90)
        Image.fromarray(inside).save(root / "drawn" / f"{index}.png")
    for index in range(count):
        (root / "images" / f"{index:06}.jpg").symlink_to(root / "drawn" / f"{index % 16}.jpg")
        (root / "masks" / f"{index:06}.png").symlink_to(root / "drawn" / f"{index % 16}.png")


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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{way:8} {count / (time.perf_counter() - begin):8.0f} photos/s {peak:8.0f} MiB", flush=True)


def main(count: int = 10_000, width: int = 600, height: int = 450) -> None:
    """Compare both ways.

    Args:
        count: photos.
        width: of each, in pixels.
        height: of each, in pixels.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        draw(source, count, width, height)
        (source / "drawn").rename(Path(folder) / "drawn")
        (source / "drawn").symlink_to(Path(folder) / "drawn")
        for way in ("plain", "prepare"):
            words = [sys.executable, __file__, "one", way, str(source), str(Path(folder) / way)]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    fire.Fire({"main": main, "one": one} if sys.argv[1:2] == ["one"] else main)

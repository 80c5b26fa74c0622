"""Seconds and peak memory of decoding and of one epoch, as the training set grows.

    python benchmarks/scaling.py [--images 250] [--factors "[1,4,16]"] [--size 128] [--json]

Phantoms are written once. Each size then runs in a process of its own: the pixel cache is built from the files, and one
augmented, normalised epoch is drawn from it, with no network, so that data and not arithmetic is measured. Memory is
the process's own (anonymous pages, sampled every 5 ms), without what the libraries took before; the
pixel cache's pages belong to the system's file cache, which gives them back when others need the room.
"""

from __future__ import annotations

import json as json_module
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fire
from report import show


def main(images: int = 250, factors: list[int] | None = None, size: int = 128, json: bool = False) -> None:
    """Measure every factor and print the table."""
    from dermaseg_monai.datasets.phantoms import write_phantoms

    factors = factors or [1, 4, 16]
    with tempfile.TemporaryDirectory() as folder:
        write_phantoms(Path(folder) / "official", count=images * max(factors), size=size)
        rows = []
        for factor in factors:
            words = [sys.executable, __file__, "one", folder, str(images * factor), str(size)]
            ended = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json_module.loads(ended.stdout.splitlines()[-1]))
    show(f"scaling, {size} px phantoms", rows, json)


def one(folder: str, images: int, size: int) -> None:
    """Build the pixel cache of ``images`` phantoms and draw one augmented epoch."""
    from monai.transforms import Compose

    from dermaseg_monai.data.resident import BatchLoader, ResidentDataset
    from dermaseg_monai.transforms import BatchAugment, Fitd, LoadMaskd, LoadPhotod, NormalisePhotod

    photos = sorted(Path(folder).glob("official/*Input/*.jpg"))[:images]
    masks = Path(folder) / "official" / "ISIC2018_Task1_Training_GroundTruth"
    items = [{"image": str(path), "label": str(masks / f"{path.stem}_segmentation.png")} for path in photos]
    keys = ("image", "label")
    transform = Compose([LoadPhotod("image"), LoadMaskd("label"), Fitd(keys, (size, size))])
    dataset = ResidentDataset(items, transform, f"{folder}/cache{images}")
    loader = BatchLoader(dataset, 24, NormalisePhotod("image"), BatchAugment(rotate=180), shuffle=True)

    before = _own_memory()
    with _peak() as peak:
        started = time.perf_counter()
        stored = dataset.pixels.bytes
        decoded = time.perf_counter()
        for _ in loader:
            pass
        ended = time.perf_counter()
    row = {
        "images": len(items),
        "pixel cache MiB": stored / 2**20,
        "decode s": decoded - started,
        "epoch s": ended - decoded,
        "peak memory MiB": peak() - before,
    }
    print(json_module.dumps(row))


@contextmanager
def _peak() -> Iterator[Callable[[], float]]:
    highest, stop = [_own_memory()], threading.Event()

    def sample() -> None:
        while not stop.wait(0.005):
            highest.append(max(highest.pop(), _own_memory()))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield lambda: highest[0]
    finally:
        stop.set()
        sampler.join()


def _own_memory() -> float:
    """Anonymous memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no RssAnon; this benchmark needs Linux.")


if __name__ == "__main__":
    fire.Fire({"one": one}) if sys.argv[1:2] == ["one"] else fire.Fire(main)

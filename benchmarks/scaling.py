"""Seconds and peak memory of preparing the store and of one epoch, as the dataset grows.

    python benchmarks/scaling.py --images 250 --factors "[1,4,16]" [--json]

Each size runs in a process of its own with a tiny network, so that data, not arithmetic, is measured.
"""

from __future__ import annotations

import json as json_module
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fire
from report import show


def main(images: int = 250, factors: list[int] | None = None, size: int = 128, json: bool = False) -> None:
    """Measure every factor and print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in factors or [1, 4, 16]:
            words = [sys.executable, __file__, "one", f"{folder}/{factor}", str(images * factor), str(size)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            rows.append(json_module.loads(done.stdout.splitlines()[-1]))
    show(f"scaling, {size} px phantoms", rows, json)


def one(home: str, images: int, size: int) -> None:
    """Build the store of ``images`` phantoms and draw one augmented epoch."""
    from dermaseg_monai.data import load_datalist, prepare
    from dermaseg_monai.data.phantoms import write_phantoms
    from dermaseg_monai.data.resident import BatchLoader, ResidentDataset
    from dermaseg_monai.transforms import BatchAugment, Fitd, LoadMaskd, LoadPhotod, NormalisePhotod

    write_phantoms(Path(home) / "official", count=images, size=size)
    prepare(Path(home) / "official", Path(home) / "prepared")

    def transform(item: dict) -> dict:
        return Fitd(("image", "label"), (size, size))(LoadMaskd("label")(LoadPhotod("image")(item)))

    items = load_datalist(Path(home) / "prepared", "training")
    dataset = ResidentDataset(items, transform, Path(home) / "cache")
    started = time.perf_counter()
    _ = dataset.store
    decoded = time.perf_counter()
    loader = BatchLoader(dataset, 24, NormalisePhotod("image"), BatchAugment(rotate=180), shuffle=True)
    for _ in loader:
        pass
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {
        "training images": len(items),
        "decode s": decoded - started,
        "epoch s": ended - decoded,
        "anonymous + mapped peak MiB": peak,
    }
    print(json_module.dumps(row))


if __name__ == "__main__":
    fire.Fire({"one": one, "main": main}) if sys.argv[1:2] == ["one"] else fire.Fire(main)

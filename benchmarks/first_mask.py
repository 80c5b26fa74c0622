"""From ``dermaseg predict photo.jpg`` to its mask: mostly imports.

    python benchmarks/first_mask.py [--repeats 5] [--json]

Each measurement is a process of its own, from its start to its end, on one phantom of 1024 x 768 pixels; the
alternatives take turns, after one turn that is not counted. "all of MONAI" is the same command where ``import monai``
comes first, as in any program that imports MONAI before this package; "import torch" does nothing else.
Processor seconds are those of all threads: on a machine that does other work too they vary less than the time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fire
from PIL import Image
from report import show

from dermaseg_monai.datasets.phantoms import render_phantom

RUN = "from dermaseg_monai.cli.commands import main; main()"
ALTERNATIVES = {
    "dermaseg predict": RUN,
    "all of MONAI": f"import monai; {RUN}",
    "import torch": "import torch",
}


def main(repeats: int = 5, json: bool = False) -> None:
    """Measure the alternatives."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        Image.fromarray(render_phantom(0, (192, 256)).image).resize((1024, 768)).save(photo)
        words = ["predict", str(photo), "--output", str(Path(folder) / "masks")]
        turns = [
            {name: measure(code, words) for name, code in ALTERNATIVES.items()} for _ in range(repeats + 1)
        ]
        rows = []
        for name in ALTERNATIVES:
            seconds, processor = zip(*(turn[name] for turn in turns[1:]), strict=True)
            ratios = [turn["all of MONAI"][0] / turn[name][0] for turn in turns[1:]]
            rows.append(
                {
                    "what": name,
                    "seconds": statistics.median(seconds),
                    "processor seconds": statistics.median(processor),
                    "times as fast": statistics.median(ratios),
                }
            )
        show("from the command to the first mask", rows, json)


def measure(code: str, words: list[str]) -> tuple[float, float]:
    """Seconds, and processor seconds, of a process that runs ``code``."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, used


if __name__ == "__main__":
    fire.Fire(main)

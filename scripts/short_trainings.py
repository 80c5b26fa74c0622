"""Does every lesion bundle learn? Train each for a few epochs on part of a prepared dataset, at a reduced size.

    python scripts/short_trainings.py --dataset_dir /data/isic2018 --output runs/short

Writes ``<output>/<bundle>/`` per bundle and ``<output>/summary.csv``: validation scores after the last epoch, beside
those of two guesses that look at no image (everything is lesion; an ellipse in the centre). Bundles that have a row
already are skipped, so the script may be interrupted.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import fire
import numpy as np
import pandas as pd
import torch

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.data import load_datalist
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.metrics import aggregate, confusion_counts
from dermaseg_monai.utils.files import atomic_path

SCORES = ("dice", "jaccard", "threshold_jaccard", "accuracy")


def main(
    dataset_dir: str,
    output: str,
    size: int = 96,
    fraction: float = 0.2,
    epochs: int = 8,
    learning_rate: float = 5e-4,
    batch_size: int = 12,
    seed: int = 0,
) -> None:
    """Train every lesion bundle shortly and tabulate what it learned."""
    home = Path(output).resolve()
    table = home / "summary.csv"
    rows = pd.read_csv(table).to_dict("records") if table.is_file() else guesses(dataset_dir)
    for bundle in BUNDLES:
        if bundle.task != "lesion" or any(row["model"] == bundle.name for row in rows):
            continue
        folder = bundle_folder(bundle.name)
        settings = {
            "config_file": folder / "configs" / "train.json",
            "bundle_root": folder,
            "dataset_dir": Path(dataset_dir).resolve(),
            "ckpt_dir": home / bundle.name / "models",
            "output_dir": home / bundle.name,
            "image_size": f"[{size},{size}]",
            "data_fraction": fraction,
            "max_epochs": epochs,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "seed": seed,
            **({"encoder_weights": None} if bundle.encoder_weights else {}),
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "monai.bundle", "run", "training", *words], check=True)
        minutes = (time.perf_counter() - started) / 60
        last = pd.read_csv(home / bundle.name / "history.csv").iloc[-1]
        scores = {name: last[f"val_{name}"] for name in SCORES}
        rows.append({"model": bundle.name, **scores, "minutes": minutes})
        with atomic_path(table) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.4f")
    print(pd.DataFrame(rows).to_string(index=False))


def guesses(dataset_dir: str) -> list[dict[str, object]]:
    """Validation scores of calling everything lesion, and of an ellipse of half the width and height."""
    counts: dict[str, list[torch.Tensor]] = {"guess: everything": [], "guess: centre ellipse": []}
    for item in load_datalist(dataset_dir, "validation"):
        truth = torch.from_numpy(read_mask(item["label"]))[None, None]
        height, width = truth.shape[-2:]
        y, x = np.mgrid[:height, :width]
        inside = ((y - height / 2) / (height / 4)) ** 2 + ((x - width / 2) / (width / 4)) ** 2 <= 1
        for guess, mask in zip(counts, (np.ones_like(inside), inside), strict=True):
            counts[guess].append(confusion_counts(torch.from_numpy(mask)[None, None], truth))
    return [
        {"model": guess, **{name: float(aggregate(torch.cat(each), name)) for name in SCORES}}
        for guess, each in counts.items()
    ]


if __name__ == "__main__":
    fire.Fire(main)

"""Print how many photos of each folder the flagship warns of, and how well it tells them from validation photos.

    python scripts/unlike_table.py DATA --folders FOLDER,FOLDER [--directions 16,64] [--output unlike_photos.csv]

DATA is a folder that ``dermaseg prepare`` wrote, whose training and validation photos describe what the network knows,
as ``dermaseg calibrate`` has it; its test photos and those of each folder are measured. A photo is warned of where its
``unlikeness`` is above 1. Float32, on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import fire
import numpy as np
import pandas as pd
import torch
from monai.metrics import compute_roc_auc

from dermaseg_monai.bundle.calibration import fit_features
from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.data import load_datalist
from dermaseg_monai.inference.probabilities import PhotoProbabilities
from dermaseg_monai.utils.files import write_text


def main(
    dataset_dir: str,
    folders: str | Iterable[str] = (),
    directions: int | Iterable[int] = 64,
    output: str | None = None,
) -> None:
    """Print the table.

    Args:
        dataset_dir: the prepared folder.
        folders: of photos, separated by commas.
        directions: how many the features' covariance is free along, one or several to choose from.
        output: a CSV file for the table.
    """
    predictor = PhotoProbabilities(FLAGSHIP, device="cpu")
    names = folders.split(",") if isinstance(folders, str) else folders
    photos = {name: load_datalist(dataset_dir, name) for name in ("training", "validation", "test")}
    photos |= {
        name: [{"id": path.stem, "image": str(path)} for path in sorted(Path(name).iterdir())]
        for name in names
    }
    features = {name: _features(predictor, items) for name, items in photos.items()}
    counts = [directions] if isinstance(directions, int) else list(directions)
    table = pd.DataFrame([row for count in counts for row in unlike_rows(features, count)])
    print(table.to_string(index=False))
    if output is not None:
        write_text(output, table.to_csv(index=False))


def unlike_rows(features: Mapping[str, np.ndarray], directions: int) -> list[dict[str, Any]]:
    """A row for each kind of photos but the training photos.

    Args:
        features: by kind, ``(N, C)``; "training" and "validation" describe what the network knows.
        directions: as of :func:`dermaseg_monai.bundle.calibration.fit_features`.

    Returns:
        Rows of ``directions``, ``photos``, ``count``, ``warned`` (their share) and ``auroc`` against validation.
    """
    described = fit_features(features["training"], features["validation"], directions=directions)
    known = described.unlikeness(features["validation"])
    rows = []
    for name in features:
        if name == "training":
            continue
        unlike = described.unlikeness(features[name])
        scores = torch.from_numpy(np.concatenate([known, unlike]))
        auroc = compute_roc_auc(scores, torch.arange(len(scores)) >= len(known))
        rows.append(
            {
                "directions": directions,
                "photos": Path(name).name,
                "count": len(unlike),
                "warned": round(float((unlike > 1).mean()), 4),
                "auroc": round(float(auroc), 4),
            }
        )
    return rows


def _features(predictor: PhotoProbabilities, items: list[dict[str, Any]]) -> np.ndarray:
    found: list[np.ndarray] = []
    predictor.visit(items, lambda item: found.append(item["features"].numpy()), masks=False)
    return np.stack(found)


if __name__ == "__main__":
    fire.Fire(main)

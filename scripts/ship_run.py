"""Ship what a study's run of a lesion bundle has trained: its weights into the bundle, its numbers into ``results/``.

    python scripts/ship_run.py RUN BUNDLE

RUN is a finished run's folder, such as ``runs/ablations/full_recipes_a/segformer_lite/seed0``, BUNDLE the name of the
bundle in the collection. Writes ``bundles/BUNDLE/models/model.pt`` in half precision, lets git keep it, copies the rows
of all images, their summary and the epochs to ``results/BUNDLE/``, and prints what the catalogue and the tables of
README.md and docs/results.md shall say.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch

from dermaseg_monai.bundle.weights import halved
from dermaseg_monai.metrics import METRICS
from dermaseg_monai.utils.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]


def main(run: Path, bundle: str) -> None:
    weights = torch.load(run / "models" / "model.pt", map_location="cpu", weights_only=True)
    target = ROOT / "bundles" / bundle / "models" / "model.pt"
    with atomic_path(target) as temporary:
        torch.save(halved(weights), temporary)
    kept = f"!/bundles/{bundle}/models/model.pt"
    ignored = ROOT / ".gitignore"
    lines = ignored.read_text(encoding="utf-8").splitlines()
    if kept not in lines:
        last = max(number for number, line in enumerate(lines) if line.startswith("!/bundles/"))
        ignored.write_text("\n".join([*lines[: last + 1], kept, *lines[last + 1 :]]) + "\n", encoding="utf-8")

    results = ROOT / "results" / bundle
    results.mkdir(parents=True, exist_ok=True)
    for source in ("evaluation/metrics.csv", "evaluation/summary.json", "output/history.csv"):
        shutil.copyfile(run / source, results / Path(source).name)
    metrics = json.loads((results / "summary.json").read_text(encoding="utf-8"))["metrics"]
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    print("scores =", {name: round(metrics[name]["mean"], 4) for name in list(METRICS)[:4]})
    print(
        "| "
        + " | ".join(f"{metrics[name]['mean']:.4f} ± {metrics[name]['sd']:.4f}" for name in METRICS)
        + " |"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

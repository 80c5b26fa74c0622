"""Minutes of the whole data-fraction study, as published: U-Net and U-Net++ on 10, 25, 50 and 100 % of the images.

    python benchmarks/data_fraction.py --dataset_dir PREPARED [--epochs 20] [--gpus_per_run 0.25] [--json] [--ID VALUE]

``dermaseg study run`` from the first process to the last score, one seed, in a fresh folder: every run decodes nothing
anew (the prepared set's pixel cache is built by the first), trains, validates after every epoch and is evaluated on
the test section. ``gpus_per_run`` puts runs side by side on a GPU; further ids go to every run, such as
``--image_size "[64,64]"``. The study is published as about five hours on an NVIDIA T4.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import fire
from report import show

from dermaseg_monai.studies.batch import Batch, run_batch
from dermaseg_monai.studies.catalogue import get_study
from dermaseg_monai.studies.plan import plan_runs
from dermaseg_monai.studies.record import read_record


def main(
    dataset_dir: str,
    epochs: int | None = None,
    gpus_per_run: float | None = None,
    json: bool = False,
    **overrides: Any,
) -> None:
    """Run the study."""
    study = get_study("data_fraction")
    variants = [variant.name for variant in study.variants if variant.axis["schedule"] == "epochs"]
    batch = Batch(dataset_dir, gpus_per_run=gpus_per_run)
    with tempfile.TemporaryDirectory() as folder:
        runs = plan_runs(study, Path(folder), [0], epochs, variants, overrides)
        started = time.perf_counter()
        ended = run_batch(runs, batch)
        minutes = (time.perf_counter() - started) / 60
        rows = []
        for run in ended["finished"]:
            record = read_record(run.folder)
            rows.append({"run": run.variant.name, "epochs": record["epochs"], "minutes": record["minutes"]})
    rows.append({"run": f"all {len(ended['finished'])} of {len(runs)}", "epochs": None, "minutes": minutes})
    show("the data-fraction study", rows, json)


if __name__ == "__main__":
    fire.Fire(main)

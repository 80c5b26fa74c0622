"""What an evaluation writes: a row of scores for every image, and their summary."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from ignite.engine import Events

from dermaseg_monai.data.photos import PhotoLoader, check_any
from dermaseg_monai.metrics import METRICS, confusion_counts
from dermaseg_monai.utils.distributed import gather_objects, rank
from dermaseg_monai.utils.files import atomic_path, write_text

logger = logging.getLogger(__name__)


class LesionScores:
    """Ignite handler that scores lesion masks at their own size (ISIC 2018 Task 1).

    Writes ``<output_dir>/metrics.csv``, a row per image, and ``<output_dir>/summary.json``: mean and standard
    deviation (over images, with N - 1) of each metric, the number of images, the photos that could not be
    read, and the settings the masks were made with. The same means stand in ``engine.state.metrics``.

    Of several prepared folders, the table has a column ``folder``, and the summary the means of each.

    Args:
        output_dir: folder of what the evaluation writes.
        loader: where the photos come from; its failures are listed.
        settings: weights, section, threshold and post-processing, to be named beside the scores.
    """

    def __init__(
        self, output_dir: str | os.PathLike[str], loader: PhotoLoader, settings: Mapping[str, Any]
    ) -> None:
        self.output_dir = Path(output_dir)
        self.loader = loader
        self.settings = dict(settings)
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Any) -> None:
        """Register with a :class:`dermaseg_monai.engines.PhotoEvaluator`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Any) -> None:
        self.rows = []

    def _collect(self, engine: Any) -> None:
        for item in engine.state.batch:
            counts = confusion_counts(item["pred"][None], item["label"][None])[0, 0]
            named = {name: item[name] for name in ("id", "folder") if name in item}
            self.rows.append(named | {name: float(score(counts)) for name, score in METRICS.items()})

    def _write(self, engine: Any) -> None:
        rows = gather_objects(self.rows)
        failures = gather_objects(self.loader.failures)
        check_any(rows, failures)
        table = pd.DataFrame(rows).sort_values("id", ignore_index=True)
        scores = table[list(METRICS)]
        engine.state.metrics |= scores.mean().to_dict()
        if rank() != 0:
            return
        with atomic_path(self.output_dir / "metrics.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f")
        spread = scores.std(ddof=1).fillna(0.0)
        summary = {
            "images": len(table),
            "metrics": {
                name: {"mean": round(scores[name].mean(), 6), "sd": round(spread[name], 6)}
                for name in METRICS
            },
            **_by_folder(table),
            "failures": failures,
            "settings": self.settings,
        }
        write_text(self.output_dir / "summary.json", json.dumps(summary, indent=2, default=str) + "\n")
        means = ", ".join(
            f"{name.replace('_', ' ')} {scores[name].mean():.4f} ± {spread[name]:.4f}" for name in METRICS
        )
        logger.info("%d images: %s; rows in %s", len(table), means, self.output_dir / "metrics.csv")


def _by_folder(table: pd.DataFrame) -> dict[str, Any]:
    """Images and means for each prepared folder, where there are several."""
    if "folder" not in table:
        return {}
    means = {
        folder: {"images": len(rows), "metrics": {name: round(rows[name].mean(), 6) for name in METRICS}}
        for folder, rows in table.groupby("folder")
    }
    return {"folders": means}

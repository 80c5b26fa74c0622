"""Per-image scores and summary of a lesion evaluation."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ignite.engine import Events

from dermaseg_monai.data.photos import PhotoLoader, check_any
from dermaseg_monai.metrics import (
    BOUNDARY_METRICS,
    BOUNDARY_METRICS_MM,
    METRICS,
    boundary_scores,
    confusion_counts,
)
from dermaseg_monai.metrics.boundary import TOLERANCE, for_photo
from dermaseg_monai.utils.distributed import gather_objects, rank
from dermaseg_monai.utils.files import atomic_path, write_text
from dermaseg_monai.utils.tensors import plain

logger = logging.getLogger(__name__)

_LOGGED = (*METRICS, "hd95", "assd", "surface_dice")


class LesionScores:
    """Ignite handler that scores lesion masks at their own size (ISIC 2018 Task 1).

    Writes ``<output_dir>/metrics.csv``, a row per image, and ``<output_dir>/summary.json``: mean and standard
    deviation (over images, with N - 1) of each metric, the number of images, the photos that could not be
    read, and the settings the masks were made with. The same means stand in ``engine.state.metrics``. Distances in mm
    are of the photos whose scale is known, and ``images_with_scale`` says how many these are.

    Of several prepared folders, the table has a column ``folder``, and the summary the means of each.

    Args:
        output_dir: folder of what the evaluation writes.
        loader: where the photos come from; its failures are listed.
        settings: weights, section, threshold and post-processing, to be named beside the scores.
        surface_tolerance: of the surface Dice, a share of the photo's diagonal.
        pixels_per_mm: the scale of all photos, for distances in mm; None for each photo's own, where it is known.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        loader: PhotoLoader,
        settings: Mapping[str, Any],
        surface_tolerance: float = TOLERANCE,
        pixels_per_mm: float | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.loader = loader
        self.scale: dict[str, Any] = {"surface_tolerance": surface_tolerance, "pixels_per_mm": pixels_per_mm}
        self.settings = dict(settings) | self.scale
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
            named = {name: item[name] for name in ("id", "folder") if name in item}
            scores = score_lesion(item["pred"], item["label"], **for_photo(self.scale, item))
            self.rows.append(named | scores)

    def _write(self, engine: Any) -> None:
        rows = gather_objects(self.rows)
        failures = gather_objects(self.loader.failures)
        check_any(rows, failures)
        table = pd.DataFrame(rows)
        engine.state.metrics |= table[_metrics(table)].mean().to_dict()
        if rank() == 0:
            write_lesion_scores(rows, self.output_dir, failures, self.settings)


def score_lesion(
    prediction: torch.Tensor,
    target: torch.Tensor,
    surface_tolerance: float = TOLERANCE,
    pixels_per_mm: float | None = None,
) -> dict[str, float]:
    """All scores of one lesion mask.

    Args:
        prediction: mask ``(1, H, W)`` of 0 and 1.
        target: mask of the same shape.
        surface_tolerance: of the surface Dice, a share of the photo's diagonal.
        pixels_per_mm: the scale, for distances in mm.

    Returns:
        The ``METRICS`` and the scores of :func:`dermaseg_monai.metrics.boundary_scores`, by name.

    Raises:
        InputError: the shapes differ, or an argument is out of range.
    """
    counts = confusion_counts(prediction[None], target[None])[0, 0]
    overlap = {name: float(score(counts)) for name, score in METRICS.items()}
    predicted, true = (plain(mask)[0].cpu().numpy() for mask in (prediction, target))
    return overlap | boundary_scores(predicted, true, surface_tolerance, pixels_per_mm)


def write_lesion_scores(
    rows: Sequence[Mapping[str, Any]],
    output_dir: Path,
    failures: Sequence[Mapping[str, str]],
    settings: Mapping[str, Any],
) -> pd.DataFrame:
    """Write ``metrics.csv`` and ``summary.json`` of an evaluation, and log the means.

    Args:
        rows: ``id``, where there are several prepared folders ``folder``, and the scores of each image.
        output_dir: folder to write into.
        failures: ``{"id", "image", "reason"}`` of the photos left out.
        settings: what the masks were made with.

    Returns:
        The rows, sorted by id.
    """
    table = pd.DataFrame(rows).sort_values("id", ignore_index=True)
    metrics = _metrics(table)
    scores = table[metrics]
    with atomic_path(output_dir / "metrics.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
    spread = scores.std(ddof=1).fillna(0.0)
    summary = {
        "images": len(table),
        **_with_scale(table),
        "metrics": {
            name: {"mean": round(scores[name].mean(), 6), "sd": round(spread[name], 6)} for name in metrics
        },
        **_by_folder(table),
        "failures": failures,
        "settings": settings,
    }
    write_text(output_dir / "summary.json", json.dumps(summary, indent=2, default=str) + "\n")
    means = ", ".join(
        f"{name.replace('_', ' ')} {scores[name].mean():.4f} ± {spread[name]:.4f}" for name in _LOGGED
    )
    logger.info("%d images: %s; rows in %s", len(table), means, output_dir / "metrics.csv")
    return table


def _metrics(table: pd.DataFrame) -> list[str]:
    return [name for name in (*METRICS, *BOUNDARY_METRICS, *BOUNDARY_METRICS_MM) if name in table]


def _with_scale(table: pd.DataFrame) -> dict[str, int]:
    """How many images the means in mm are of, where there are any."""
    name = BOUNDARY_METRICS_MM[0]
    return {"images_with_scale": int(table[name].notna().sum())} if name in table else {}


def _by_folder(table: pd.DataFrame) -> dict[str, Any]:
    """Images and means for each prepared folder, where there are several."""
    if "folder" not in table:
        return {}
    means = {
        folder: {
            "images": len(rows),
            "metrics": {name: round(rows[name].mean(), 6) for name in _metrics(table)},
        }
        for folder, rows in table.groupby("folder")
    }
    return {"folders": means}

"""Scores of each image and attribute, and summary of an attribute evaluation."""

from __future__ import annotations

import json
import logging
import math
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
    COUNT_NAMES,
    CURVES,
    METRICS,
    ScoreHistogram,
    aggregate,
    boundary_scores,
    confusion_counts,
)
from dermaseg_monai.metrics.boundary import TOLERANCE, for_photo
from dermaseg_monai.utils.distributed import gather_objects, rank
from dermaseg_monai.utils.files import atomic_path, write_text
from dermaseg_monai.utils.tensors import plain

logger = logging.getLogger(__name__)

_PER_IMAGE = ("jaccard", "dice", "accuracy", "sensitivity", "specificity")
_OVERLAP = ("jaccard", "dice")


class AttributeScores:
    """Ignite handler that scores attribute masks at their own size (ISIC 2018 Task 2).

    Writes ``<output_dir>/metrics.csv``, a row per image and attribute: the four counts in pixels, the scores made of
    them, and the distances of the boundaries, empty where either mask is.
    ``<output_dir>/summary.json`` holds for each attribute, and as ``macro`` their mean:

    - ``jaccard``, ``dice``: the official ones, of confusion matrices divided by their image's pixel count and
      summed over images;
    - ``pooled_jaccard``, ``pooled_dice``: of the plain sums of pixels, where large photos weigh more;
    - ``present_jaccard``, ``present_dice``: mean over the images that have the attribute;
    - ``hd95``, ``assd`` and their shares of the diagonal: mean over the images where it is both there and found, since
      there is no distance to nothing; ``surface_dice``: mean over the images where it is there or found, 0 where it is
      only one of them (:func:`dermaseg_monai.metrics.boundary_scores` with ``empty="nan"``);
    - ``roc_auc``, ``average_precision``: over all pixels at the network's size (of an ensemble, or within a
      lesion: at the photo's), free of thresholds;

    and as ``micro`` the official ones over all attributes together, the challenge's ranking score. What is
    undefined (an attribute that no image has) is null and left out of the means.

    Each item of the engine's batch has ``pred`` and ``label``, masks ``(C, H, W)`` at the photo's size, and
    ``logits`` and ``label_fitted``, ``(C, h, w)`` at the size that the logits are at.

    Args:
        output_dir: folder of what the evaluation writes.
        loader: where the photos come from; its failures are listed.
        settings: weights, section, thresholds and post-processing, to be named beside the scores.
        attributes: names of the channels.
        surface_tolerance: of the surface Dice, a share of the photo's diagonal.
        pixels_per_mm: the scale of all photos, for distances in mm; None for each photo's own, where it is known.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        loader: PhotoLoader,
        settings: Mapping[str, Any],
        attributes: Sequence[str],
        surface_tolerance: float = TOLERANCE,
        pixels_per_mm: float | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.loader = loader
        self.scale: dict[str, Any] = {"surface_tolerance": surface_tolerance, "pixels_per_mm": pixels_per_mm}
        self.settings = dict(settings) | self.scale
        self.attributes = list(attributes)
        self.rows: list[dict[str, Any]] = []
        self.histogram = ScoreHistogram(len(self.attributes))

    def attach(self, engine: Any) -> None:
        """Register with a :class:`dermaseg_monai.engines.PhotoEvaluator`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Any) -> None:
        self.rows = []
        self.histogram.reset()

    def _collect(self, engine: Any) -> None:
        for item in engine.state.batch:
            self.histogram.update(item["logits"][None], item["label_fitted"][None])
            named = {name: item[name] for name in ("id", "folder") if name in item}
            scores = score_attributes(
                item["pred"], item["label"], self.attributes, **for_photo(self.scale, item)
            )
            self.rows += [named | row for row in scores]

    def _write(self, engine: Any) -> None:
        rows = gather_objects(self.rows)
        failures = gather_objects(self.loader.failures)
        check_any(rows, failures)
        histogram = self.histogram.gather()
        curves = {name: curve(histogram) for name, curve in CURVES.items()}
        table = _sorted(rows, self.attributes)
        summary = _summary(table, self.attributes, curves)
        engine.state.metrics |= {
            f"{average}_{name}": value
            for average in ("micro", "macro")
            for name, value in summary[average].items()
        }
        if rank() == 0:
            write_attribute_scores(rows, self.output_dir, failures, self.settings, self.attributes, curves)


def score_attributes(
    prediction: torch.Tensor,
    target: torch.Tensor,
    attributes: Sequence[str],
    surface_tolerance: float = TOLERANCE,
    pixels_per_mm: float | None = None,
) -> list[dict[str, Any]]:
    """All scores of one photo's attribute masks.

    Args:
        prediction: masks ``(C, H, W)`` of 0 and 1.
        target: masks of the same shape.
        attributes: names of the channels.
        surface_tolerance: of the surface Dice, a share of the photo's diagonal.
        pixels_per_mm: the scale, for distances in mm.

    Returns:
        For each attribute its name, the four counts in pixels, the scores made of them, and those of
        :func:`dermaseg_monai.metrics.boundary_scores`, NaN where a mask is empty.

    Raises:
        InputError: the shapes differ, or an argument is out of range.
    """
    counts = confusion_counts(prediction[None], target[None])[0]
    scores = {name: METRICS[name](counts).tolist() for name in _PER_IMAGE}
    predicted, true = (plain(masks).cpu().numpy() for masks in (prediction, target))
    return [
        {"attribute": attribute}
        | dict(zip(COUNT_NAMES, counts[channel].tolist(), strict=True))
        | {name: values[channel] for name, values in scores.items()}
        | boundary_scores(predicted[channel], true[channel], surface_tolerance, pixels_per_mm, empty="nan")
        for channel, attribute in enumerate(attributes)
    ]


def write_attribute_scores(
    rows: Sequence[Mapping[str, Any]],
    output_dir: Path,
    failures: Sequence[Mapping[str, str]],
    settings: Mapping[str, Any],
    attributes: Sequence[str],
    curves: Mapping[str, torch.Tensor],
) -> pd.DataFrame:
    """Write ``metrics.csv`` and ``summary.json`` of an evaluation, and log the means.

    Args:
        rows: ``id`` and the scores of :func:`score_attributes` of each image and attribute.
        output_dir: folder to write into.
        failures: ``{"id", "image", "reason"}`` of the photos left out.
        settings: what the masks were made with.
        attributes: their names, in order.
        curves: scores free of thresholds, by name: float64 ``(C,)``; none for masks without probabilities.

    Returns:
        The rows, sorted by id and attribute.
    """
    table = _sorted(rows, attributes)
    summary = _summary(table, attributes, curves)
    with atomic_path(output_dir / "metrics.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
    content = {**summary, "failures": failures, "settings": settings}
    write_text(output_dir / "summary.json", json.dumps(content, indent=2, default=str) + "\n")
    micro, macro = summary["micro"], summary["macro"]
    means = [
        f"{name} micro {micro[key]:.4f}, macro {macro[key]:.4f}"
        for name, key in (("Jaccard", "jaccard"), ("Dice", "dice"))
    ]
    if "roc_auc" in macro:
        means.append(f"mean AUC {macro['roc_auc'] or math.nan:.4f}")
    path = output_dir / "metrics.csv"
    logger.info("%d images: %s; rows in %s", summary["images"], "; ".join(means), path)
    return table


def _sorted(rows: Sequence[Mapping[str, Any]], attributes: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    order = pd.Categorical(table["attribute"], categories=list(attributes))
    table = table.assign(order=order.codes).sort_values(["id", "order"], ignore_index=True)
    return table.drop(columns="order")


def _summary(
    table: pd.DataFrame, attributes: Sequence[str], curves: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    images = len(table) // len(attributes)
    counts = torch.tensor(table[list(COUNT_NAMES)].to_numpy()).view(images, len(attributes), 4)
    columns: dict[str, torch.Tensor] = {}
    for name in _OVERLAP:
        columns[name] = aggregate(counts, name, "pooled_macro", per_channel=True)
        columns[f"pooled_{name}"] = METRICS[name](counts.sum(dim=0))
        columns[f"present_{name}"] = aggregate(counts, name, "present_mean", per_channel=True)
    for name in (*BOUNDARY_METRICS, *BOUNDARY_METRICS_MM):
        if name in table:
            columns[name] = torch.tensor(table[name].to_numpy()).view(images, len(attributes)).nanmean(dim=0)
    columns |= curves
    present = ((counts[..., 0] + counts[..., 2]) > 0).sum(dim=0).tolist()
    return {
        "images": images,
        "micro": {name: _number(aggregate(counts, name, "pooled_micro")) for name in _OVERLAP},
        "macro": {name: _number(values.nanmean()) for name, values in columns.items()},
        "attributes": {
            attribute: {"images": present[channel]}
            | {name: _number(values[channel]) for name, values in columns.items()}
            for channel, attribute in enumerate(attributes)
        },
    }


def _number(value: torch.Tensor) -> float | None:
    return None if math.isnan(value) else round(float(value), 8)

"""Fitting of a bundle's calibration, and its measurement on photos that had no part in that."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermaseg_monai.bundle.calibration import (
    NAME,
    Calibration,
    as_text,
    fit_features,
    stored_calibration,
)
from dermaseg_monai.data import load_datalist
from dermaseg_monai.handlers.uncertainty_scores import risk_coverage
from dermaseg_monai.inference.probabilities import PhotoProbabilities
from dermaseg_monai.metrics import (
    confusion_counts,
    dice,
    expected_calibration_error,
    fit_temperature,
    inner_score,
    inner_threshold,
    logit_histogram,
    negative_log_likelihood,
    outer_score,
    outer_threshold,
)
from dermaseg_monai.transforms import Entropyd
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import sha256, write_text

logger = logging.getLogger(__name__)


def calibrate(
    bundle: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    level: float = 0.9,
    tolerance: float = 0.05,
    **overrides: Any,
) -> Path:
    """Fit temperature, outlines and the warning of unlike photos, and store them with the weights.

    On the validation photos: a temperature for each channel; of a lesion bundle, an inner and an outer outline. On the
    training photos: what the encoder's features are like; how far a photo may be from that is again set on validation.
    On at least the share ``level`` of new photos that are drawn like the validation photos, the outer outline lacks at
    most the share ``tolerance`` of the lesion's pixels, and the inner one holds at most as many that are not lesion.

    Args:
        bundle: name in the catalogue, or a bundle's folder.
        dataset_dir: folder that ``prepare`` wrote, with the split that the bundle was trained on.
        level: share of photos, between 0 and 1.
        tolerance: share of a lesion's pixels, from 0, below 1.
        **overrides: ids of the bundle's inference.json, such as ``device`` and ``ckpt_dir``; ``amp`` is off unless
            it is given.

    Returns:
        ``calibration.json`` beside the weights.

    Raises:
        InputError: the bundle has no weights or takes prompts, there are no such photos, or a number is impossible.
    """
    if not 0 < level < 1 or not 0 <= tolerance < 1:
        raise InputError(
            f"level {level} and tolerance {tolerance} must be shares between 0 and 1, such as 0.9 and 0.05."
        )
    run = PhotoProbabilities(bundle, **overrides)
    items = load_datalist(dataset_dir, "validation", run.task)
    histograms: list[torch.Tensor] = []
    outer: list[float] = []
    inner: list[float] = []
    features: list[np.ndarray] = []

    def look(item: Mapping[str, Any]) -> None:
        probability, label = item["pred"], item["label"]
        histograms.append(logit_histogram(probability, label))
        features.extend(item["features"][None].numpy() if "features" in item else ())
        mask = label[0].numpy() > 0
        if run.task == "lesion" and mask.any():
            outer.append(outer_score(probability[0].numpy(), mask, tolerance))
            inner.append(inner_score(probability[0].numpy(), mask, tolerance))

    run.visit(items, look)
    histogram = torch.stack(histograms).sum(dim=0)
    temperature = fit_temperature(histogram)
    seen: list[np.ndarray] = []
    if features:
        training = load_datalist(dataset_dir, "training", run.task)
        run.visit(training, lambda item: seen.append(item["features"].numpy()), masks=False)
    outlines = run.task == "lesion"
    calibration = Calibration(
        tuple(round(value, 4) for value in temperature.tolist()),
        # rounded away from each other, so that the level holds
        float(np.ceil(inner_threshold(inner, level) * 1e6) / 1e6) if outlines else None,
        float(np.floor(outer_threshold(outer, level) * 1e6) / 1e6) if outlines else None,
        level if outlines else None,
        tolerance if outlines else None,
        fit_features(np.stack(seen), np.stack(features)) if seen else None,
    )
    facts = {
        "section": "validation",
        "photos": len(histograms),
        "training_photos": len(seen),
        **_errors(histogram, temperature),
    }
    path = run.ckpt_dir / NAME
    write_text(path, as_text(calibration, sha256(run.ckpt_dir / "model.pt"), facts))
    logger.info("calibrated on %d photos into %s", len(histograms), path)
    return path


def check_calibration(
    bundle: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    section: str = "test",
    **overrides: Any,
) -> dict[str, Any]:
    """Measure a stored calibration on photos that it was not fitted on.

    Args:
        bundle: name in the catalogue, or a bundle's folder, with ``calibration.json`` beside its weights.
        dataset_dir: folder that ``prepare`` wrote.
        output: folder to write ``calibration_<section>.json`` into, which holds what is returned.
        section: "test", or another one of the folder.
        **overrides: ids of the bundle's inference.json, as for :func:`calibrate`.

    Returns:
        ``photos``; ``expected_calibration_error`` and ``negative_log_likelihood`` of each channel before and after; of
        a lesion bundle, ``risk_coverage`` before and after and ``outlines`` (shares of photos for which the outer, the
        inner and both outlines hold, and the mean share of the photo between them); ``warned``, the share of photos
        that are called unlike the training photos.

    Raises:
        InputError: the bundle has no calibration, or there are no such photos.
    """
    run = PhotoProbabilities(bundle, **overrides)
    path = run.ckpt_dir / NAME
    if not path.is_file():
        raise InputError(f"there is no {path}; fit it first with dermaseg calibrate {bundle}.")
    calibration = stored_calibration(run.ckpt_dir)
    histograms: list[torch.Tensor] = []
    rows: list[dict[str, float]] = []

    def look(item: Mapping[str, Any]) -> None:
        probability, label = item["pred"], item["label"]
        histograms.append(logit_histogram(probability, label))
        row: dict[str, float] = {}
        if calibration.features is not None:
            row["unlikeness"] = float(calibration.features.unlikeness(item["features"][None].numpy())[0])
        if calibration.inner is not None and calibration.outer is not None:
            row |= _doubts(probability, label, calibration)
            row |= _held(probability[0].numpy(), label[0].numpy() > 0, calibration)
        rows.append(row)

    run.visit(load_datalist(dataset_dir, section, run.task), look)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    histogram = torch.stack(histograms).sum(dim=0)
    result: dict[str, Any] = {
        "section": section,
        "photos": len(rows),
        **_errors(histogram, torch.tensor(calibration.temperature)),
    }
    if "outer" in columns:
        result["outlines"] = {
            **{name: round(float(columns[name].mean()), 4) for name in ("outer", "inner", "both")},
            "between": round(float(columns["between"].mean()), 4),
            "between_median": round(float(np.median(columns["between"])), 4),
        }
        result["risk_coverage"] = {
            name: risk_coverage(columns["dice"], columns[f"doubt_{name}"]).round(4).to_dict("records")
            for name in ("before", "after")
        }
    if "unlikeness" in columns:
        result["warned"] = round(float((columns["unlikeness"] > 1).mean()), 4)
    write_text(Path(output) / f"calibration_{section}.json", json.dumps(result, indent=2) + "\n")
    return result


def _errors(histogram: torch.Tensor, temperature: torch.Tensor) -> dict[str, Any]:
    return {
        measure.__name__: {
            name: [round(value, 6) for value in measure(histogram, divisor).tolist()]
            for name, divisor in (("before", torch.ones_like(temperature)), ("after", temperature))
        }
        for measure in (expected_calibration_error, negative_log_likelihood)
    }


def _doubts(probability: torch.Tensor, label: torch.Tensor, calibration: Calibration) -> dict[str, float]:
    predicted = probability >= 0.5
    row = {"dice": float(dice(confusion_counts(predicted[None], label[None] > 0))[0, 0])}
    for name, temperature in (("before", 1.0), ("after", calibration.temperature[0])):
        entropy = Entropyd("pred", temperature)({"pred": probability})["uncertainty"]
        row[f"doubt_{name}"] = float(entropy.sum() / predicted.sum().clamp(min=1))
    return row


def _held(probability: np.ndarray, mask: np.ndarray, calibration: Calibration) -> dict[str, float]:
    inner, outer = probability > calibration.inner, probability >= calibration.outer
    allowed = np.floor((calibration.tolerance or 0.0) * mask.sum())
    holds = {"outer": (mask & ~outer).sum() <= allowed, "inner": (inner & ~mask).sum() <= allowed}
    return {
        **{name: float(hold) for name, hold in holds.items()},
        "both": float(all(holds.values())),
        "between": float((outer & ~inner).mean()),
    }

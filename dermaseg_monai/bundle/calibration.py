"""Calibration of a bundle's doubt, in ``calibration.json`` beside the weights that it was fitted for."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import sha256

logger = logging.getLogger(__name__)

NAME = "calibration.json"


@dataclass(frozen=True)
class TrainingFeatures:
    """Where the training photos lie among an encoder's features.

    Attributes:
        mean: of each feature, ``(C,)``.
        scale: standard deviation of each feature, ``(C,)``.
        directions: principal directions of the standardised features, ``(K, C)``.
        variances: along each of them, ``(K,)``.
        rest: mean square of what the directions leave of standardised features, summed over features.
        limit: distance from which a photo is warned of.
    """

    mean: list[float]
    scale: list[float]
    directions: list[list[float]]
    variances: list[float]
    rest: float
    limit: float

    def unlikeness(self, features: np.ndarray) -> np.ndarray:
        """How unlike the training photos others are.

        The Mahalanobis distance under a covariance that is free along the principal directions and the same along all
        others, divided by ``limit``.

        Args:
            features: ``(N, C)``.

        Returns:
            ``(N,)``, at least 0; above 1 is to be warned of.

        Reference: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018,
            https://arxiv.org/abs/1807.03888; Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999.
        """
        standard = (features.astype(np.float64) - self.mean) / self.scale
        along = standard @ np.transpose(self.directions)
        left = np.maximum(0, np.square(standard).sum(axis=1) - np.square(along).sum(axis=1))
        left *= len(self.variances) / self.rest
        return np.sqrt((np.square(along) / self.variances).sum(axis=1) + left) / self.limit


def fit_features(
    training: np.ndarray, validation: np.ndarray, level: float = 0.99, directions: int = 64
) -> TrainingFeatures:
    """Describe the features of the training photos, and how far those of new photos of their kind lie from them.

    Args:
        training: ``(N, C)``, of at least two photos.
        validation: ``(M, C)``, of photos like them that were not trained on.
        level: share of the validation photos that are not warned of.
        directions: how many the covariance is free along; with 16, most photos without a dermatoscope pass.

    Returns:
        The description, its limit the quantile ``level`` of the validation photos' distances.
    """
    mean, scale = training.mean(axis=0, dtype=np.float64), training.std(axis=0, dtype=np.float64) + 1e-6
    standard = (training - mean) / scale
    _, spread, principal = np.linalg.svd(standard, full_matrices=False)
    count = min(directions, len(spread) - 1)
    variances = np.square(spread) / len(training)
    described: dict[str, Any] = {
        "mean": _short(mean),
        "scale": _short(scale),
        "directions": [_short(direction) for direction in principal[:count]],
        "variances": _short(variances[:count] + 1e-9),
        "rest": float(variances[count:].sum() + 1e-9),
    }
    distances = TrainingFeatures(**described, limit=1.0).unlikeness(validation)
    return TrainingFeatures(**described, limit=float(np.quantile(distances, level)))


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


@dataclass(frozen=True)
class Calibration:
    """What calibrates a bundle's doubt; by default nothing does.

    Attributes:
        temperature: that divides the logits of each channel, for what is said about a mask, not for the mask itself.
        inner: probability above which a pixel is within the inner outline; None without outlines.
        outer: probability from which a pixel is within the outer outline; None without outlines.
        level: share of photos for which each outline was fitted to hold; None without outlines.
        tolerance: share of a lesion's pixels that an outline which holds may get wrong; None without outlines.
        features: of the training photos; None where the network has none.
    """

    temperature: tuple[float, ...] = (1.0,)
    inner: float | None = None
    outer: float | None = None
    level: float | None = None
    tolerance: float | None = None
    features: TrainingFeatures | None = None


def stored_calibration(ckpt_dir: str | os.PathLike[str], alone: bool = True) -> Calibration:
    """The calibration that was fitted for the weights in ``ckpt_dir``.

    Args:
        ckpt_dir: folder of ``model.pt`` and, where it was fitted, ``calibration.json``.
        alone: whether the bundle is asked alone; the mean of several bundles is another prediction.

    Returns:
        What is stored, or a calibration that changes nothing; so also, with a warning, where it was fitted for other
        weights, which a further training has replaced.

    Raises:
        InputError: the file is damaged.
    """
    path, weights = Path(ckpt_dir) / NAME, Path(ckpt_dir) / "model.pt"
    if not (alone and path.is_file() and weights.is_file()):
        return Calibration()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["weights"] != sha256(weights):
            logger.warning(
                "%s was fitted for other weights and is left aside; run dermaseg calibrate again", path
            )
            return Calibration()
        features = content["features"]
        return Calibration(
            tuple(float(value) for value in content["temperature"]),
            **(content["outlines"] or {}),
            features=None if features is None else TrainingFeatures(**features),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no calibration; fit it again with dermaseg calibrate, or delete it."
        ) from error


def as_text(calibration: Calibration, weights: str, facts: Mapping[str, Any]) -> str:
    """The content of ``calibration.json``.

    Args:
        calibration: what was fitted.
        weights: SHA-256 of the ``model.pt`` it was fitted for.
        facts: what else to say, such as the photos it was fitted on.
    """
    outlines = {name: getattr(calibration, name) for name in ("level", "tolerance", "inner", "outer")}
    features = None if calibration.features is None else asdict(calibration.features)
    content = {
        **facts,
        "weights": weights,
        "temperature": calibration.temperature,
        "outlines": None if calibration.inner is None else outlines,
    }
    # a line for each list of features, which nobody reads number by number
    text = json.dumps(content, indent=2)[:-2]
    return f'{text},\n  "features": {json.dumps(features)}\n}}\n'

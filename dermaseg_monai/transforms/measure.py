"""Measures of a predicted mask: its area, its bounding box and its mean probability."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.utils.tensors import plain


class MeasureMaskd(MapTransform):
    """Put the area and the bounding box of each mask under ``measurements``.

    A list of one dictionary per channel: ``area_share`` (of the photo's pixels, 0 to 1) and ``left, top,
    right, bottom`` in pixels (right and bottom exclusive; None where the mask is empty).

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1.
        allow_missing_keys: skip absent keys.

    Example:
        >>> mask = torch.zeros(1, 10, 10, dtype=torch.uint8)
        >>> mask[0, 2:4, 3:8] = 1
        >>> (measured,) = MeasureMaskd()({"pred": mask})["measurements"]
        >>> print(measured["area_share"], measured["left"], measured["top"], measured["right"], measured["bottom"])
        0.1 3 2 8 4
    """

    def __init__(self, keys: KeysCollection = "pred", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            items["measurements"] = [_measurement(mask) for mask in plain(items[key]).numpy() > 0]
        return items


def _measurement(mask: np.ndarray) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else (None,) * 4
    return {"area_share": np.count_nonzero(mask) / mask.size} | dict(
        zip(("left", "top", "right", "bottom"), box, strict=True)
    )


class MeanProbabilityd(MapTransform):
    """Put the mean probability over the predicted pixels of each channel under ``confidence``.

    A channel in which nothing is predicted gets 0.

    Args:
        keys: probabilities (C, H, W), before they are thresholded.
        threshold: probability from which a pixel counts as predicted: one for all channels, or one for each.
        temperature: that calibrates the probabilities before their mean, see :func:`tempered`.
        allow_missing_keys: skip absent keys.

    Example:
        >>> probability = torch.tensor([[[0.9, 0.7, 0.2]]])
        >>> [round(mean, 4) for mean in MeanProbabilityd()({"pred": probability})["confidence"]]
        [0.8]
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        threshold: float | Sequence[float] = 0.5,
        temperature: float | Sequence[float] = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.threshold = threshold
        self.temperature = temperature

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            probability = plain(items[key])
            thresholds = torch.as_tensor(self.threshold).expand(len(probability)).tolist()
            calibrated = tempered(probability, self.temperature)
            predicted = [
                values[channel >= threshold]
                for values, channel, threshold in zip(calibrated, probability, thresholds, strict=True)
            ]
            items["confidence"] = [float(chosen.mean()) if chosen.numel() else 0.0 for chosen in predicted]
        return items


def tempered(probability: torch.Tensor, temperature: float | Sequence[float]) -> torch.Tensor:
    """Divide the logits of probabilities by a temperature.

    Args:
        probability: ``(C, H, W)``, floating, 0 to 1.
        temperature: above 0, one for all channels or one for each; above 1 it draws probabilities towards 0.5, and 1
            leaves them as they are.

    Returns:
        ``(C, H, W)``; what was at least 0.5 still is.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, https://arxiv.org/abs/1706.04599

    Example:
        >>> tempered(torch.tensor([[[0.9, 0.5]]]), temperature=2.0)
        tensor([[[0.7500, 0.5000]]])
    """
    divisor = torch.as_tensor(temperature).to(probability).reshape(-1, 1, 1)
    if (divisor == 1).all():
        return probability
    return torch.sigmoid(torch.logit(probability, eps=1e-7) / divisor)

"""Measures of doubt about a predicted mask, calibrated where that was fitted."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.transforms.measure import MeanProbabilityd
from dermaseg_monai.transforms.outlines import MeasureBandd
from dermaseg_monai.transforms.unlikeness import MeasureUnlikenessd


class MeasureDoubtd(MapTransform):
    """Put under ``confidence``, ``band_share`` and ``unlikeness`` what tells how far a prediction can be trusted.

    That is :class:`MeanProbabilityd`, and where it was fitted :class:`MeasureBandd` and, of the photo's ``features``,
    :class:`MeasureUnlikenessd`.

    Args:
        keys: probabilities (C, H, W), before they are thresholded.
        threshold: probability from which a pixel counts as predicted: one for all channels, or one for each.
        calibration: of the bundle, with ``temperature``, ``inner``, ``outer`` and ``features``, such as a
            :class:`dermaseg_monai.bundle.calibration.Calibration`; None for probabilities as they are.
        allow_missing_keys: skip absent keys.

    Example:
        >>> import torch
        >>> from dermaseg_monai.bundle.calibration import Calibration
        >>> measure = MeasureDoubtd("pred", calibration=Calibration(inner=0.8, outer=0.1))
        >>> item = measure({"pred": torch.tensor([[[0.9, 0.9, 0.6, 0.2]]])})
        >>> print(f"{item['confidence'][0]:.1f}", item["band_share"])
        0.8 0.5
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        threshold: float | Sequence[float] = 0.5,
        calibration: Any = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        temperature = 1.0 if calibration is None else calibration.temperature
        self.measures: list[MapTransform] = [
            MeanProbabilityd(keys, threshold, temperature, allow_missing_keys)
        ]
        if calibration is not None and calibration.inner is not None:
            self.measures.append(MeasureBandd(keys, calibration.inner, calibration.outer, allow_missing_keys))
        if calibration is not None and calibration.features is not None:
            self.measures.append(MeasureUnlikenessd("features", calibration.features.unlikeness))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for measure in self.measures:
            items = measure(items)
        return items

"""How sure a prediction is of itself."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.utils.tensors import plain


class MeanProbabilityd(MapTransform):
    """Put the mean probability over the predicted pixels of each channel under ``confidence``.

    A channel in which nothing is predicted gets 0.

    Args:
        keys: probabilities (C, H, W), before they are thresholded.
        threshold: probability from which a pixel counts as predicted: one for all channels, or one for each.
        allow_missing_keys: skip absent keys.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        threshold: float | Sequence[float] = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            probability = plain(items[key])
            thresholds = torch.as_tensor(self.threshold).expand(len(probability)).tolist()
            predicted = [
                channel[channel >= threshold]
                for channel, threshold in zip(probability, thresholds, strict=True)
            ]
            items["confidence"] = [float(chosen.mean()) if chosen.numel() else 0.0 for chosen in predicted]
        return items

"""Unlikeness of a photo to the training photos."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.utils.tensors import plain


class MeasureUnlikenessd(MapTransform):
    """Put how unlike the training photos a photo is under ``unlikeness``; above 1 it is to be warned of.

    Args:
        keys: the encoder's features (C,), which :func:`dermaseg_monai.inferers.maps.predict_maps` gives.
        measure: takes features (N, C) and returns their unlikeness (N,), such as the method ``unlikeness`` of
            :class:`dermaseg_monai.bundle.calibration.TrainingFeatures`.
        allow_missing_keys: skip absent keys.

    Example:
        >>> import torch
        >>> measure = MeasureUnlikenessd("features", lambda features: abs(features).max(axis=1))
        >>> measure({"features": torch.tensor([0.5, -1.5])})["unlikeness"]
        1.5
    """

    def __init__(
        self,
        keys: KeysCollection,
        measure: Callable,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.measure = measure

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            items["unlikeness"] = float(self.measure(plain(items[key])[None].numpy())[0])
        return items

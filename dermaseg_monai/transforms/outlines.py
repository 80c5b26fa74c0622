"""The inner and the outer outline of a lesion, between which its border lies."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.transforms.write import SaveMaskd
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain, with_meta_of


class InnerOuterd(MapTransform):
    """Put the masks within the inner and the outer outline of a lesion under ``outlines``.

    Args:
        keys: lesion probabilities (1, H, W) at the photo's own size; the masks are uint8 (2, H, W) of 0 and 1, inner
            first.
        inner: probability above which a pixel is within the inner outline, see
            :func:`dermaseg_monai.metrics.inner_threshold`.
        outer: probability from which a pixel is within the outer outline, see
            :func:`dermaseg_monai.metrics.outer_threshold`.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: ``inner`` or ``outer`` is None, since they were not fitted.

    Example:
        >>> probability = torch.tensor([[[0.9, 0.6, 0.2]]])
        >>> InnerOuterd("pred", inner=0.8, outer=0.1)({"pred": probability})["outlines"].tolist()
        [[[1, 0, 0]], [[1, 1, 1]]]
    """

    def __init__(
        self,
        keys: KeysCollection,
        inner: float | None,
        outer: float | None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if inner is None or outer is None:
            raise InputError(
                "no inner and outer outline were fitted for these weights, alone; fit them with dermaseg calibrate."
            )
        self.inner, self.outer = np.float32(inner), np.float32(outer)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            probability = items[key]
            masks = torch.from_numpy(self._masks(probability).view(np.uint8))
            items["outlines"] = with_meta_of(masks, probability)
        return items

    def _masks(self, probability: torch.Tensor) -> np.ndarray:
        values = plain(probability).cpu().numpy()
        return np.concatenate([values > self.inner, values >= self.outer])


class MeasureBandd(InnerOuterd):
    """Put the share of the outer outline's pixels that are not within the inner one under ``band_share``.

    It is 0 where both outlines are one, and 1 where the inner outline is empty.

    Args:
        keys: lesion probabilities (1, H, W), of any size.
        inner: as for :class:`InnerOuterd`.
        outer: as for :class:`InnerOuterd`.
        allow_missing_keys: skip absent keys.

    Example:
        >>> probability = torch.tensor([[[0.9, 0.9, 0.6, 0.2]]])
        >>> MeasureBandd("pred", inner=0.8, outer=0.1)({"pred": probability})["band_share"]
        0.5
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            inner, outer = self._masks(items[key])
            items["band_share"] = 1 - float((inner & outer).sum()) / max(1, int(outer.sum()))
        return items


class SaveOutlinesd(SaveMaskd):
    """Write the masks within both outlines as ``<stem>_inner.png`` and ``<stem>_outer.png``, of 0 and 255.

    Args:
        keys: masks (2, H, W) of :class:`InnerOuterd`.
        output_dir: folder for the masks, made where it is missing.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the photo's name is unknown or taken.

    Example:
        >>> from monai.data import MetaTensor
        >>> masks = MetaTensor(torch.ones(2, 40, 60, dtype=torch.uint8), meta={"filename_or_obj": "photo.jpg"})
        >>> _ = SaveOutlinesd(output_dir="masks")({"outlines": masks})
        >>> sorted(os.listdir("masks"))
        ['photo_inner.png', 'photo_outer.png']
    """

    def __init__(
        self,
        keys: KeysCollection = "outlines",
        output_dir: str | os.PathLike[str] = "outlines",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, output_dir, allow_missing_keys=allow_missing_keys)
        self.names = ["inner", "outer"]

"""Attribute masks at the network's size, and as one label per pixel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.transforms.geometry import fit_mask, geometry_of
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain, with_meta_of


class FitLabelToImaged(MapTransform):
    """Bring masks at their photo's own size to where the network saw the photo: the inverse of ``RestoreSized``.

    The result stands beside the masks, which stay as they are.

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1, at the photo's own size.
        ref: item whose ``meta`` holds the geometry, the network's input (3, h, w).
        suffix: of the new item's key; the result is (C, h, w), padding 0.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the masks are not of the photo's size.

    Example:
        >>> from dermaseg_monai.transforms import Fitd
        >>> image = torch.zeros(3, 40, 60, dtype=torch.uint8)
        >>> item = Fitd("image", (16, 16))({"image": image, "label": torch.ones(5, 40, 60, dtype=torch.uint8)})
        >>> FitLabelToImaged()(item)["label_fitted"].shape
        torch.Size([5, 16, 16])
    """

    def __init__(
        self,
        keys: KeysCollection = "label",
        ref: str = "image",
        suffix: str = "_fitted",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.ref = ref
        self.suffix = suffix

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        geometry = geometry_of(items[self.ref])
        canvas = tuple(items[self.ref].shape[-2:])
        top, left, bottom, right = (round(side) for side in geometry.content)
        shown = geometry.to_photo(geometry.content)
        for key in self.key_iterator(items):
            if tuple(items[key].shape[-2:]) != geometry.original_size:
                raise InputError(
                    f"'{key}' has shape {tuple(items[key].shape)}, but its photo is of size "
                    f"{geometry.original_size}; a photo and its masks must agree."
                )
            masks = plain(items[key]).numpy()
            fitted = np.zeros((len(masks), *canvas), dtype=np.uint8)
            for source, target in zip(masks, fitted, strict=True):
                target[top:bottom, left:right] = fit_mask(source, (bottom - top, right - left), extent=shown)
            items[f"{key}{self.suffix}"] = torch.from_numpy(fitted)
        return items


class IndexMapd(MapTransform):
    """Turn masks that may overlap into one label per pixel: 0 is background, channel i becomes i + 1.

    Where several masks claim a pixel, the one with the highest probability there gets it (of equals the
    first), so that an index map holds less than the masks do.

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1; they become (1, H, W).
        probability: key of the probabilities (C, H, W) that the masks were made from; it is removed.
        allow_missing_keys: skip absent keys.

    Example:
        >>> masks = torch.tensor([[[1, 1, 0]], [[0, 1, 0]]], dtype=torch.uint8)
        >>> probability = torch.tensor([[[0.9, 0.6, 0.1]], [[0.2, 0.7, 0.3]]])
        >>> IndexMapd()({"pred": masks, "probability": probability})["pred"]
        tensor([[[1, 2, 0]]], dtype=torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        probability: str = "probability",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.probability = probability

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            masks = plain(items[key])
            claims = torch.where(masks > 0, plain(items[self.probability]), -1.0)
            index = claims.argmax(dim=0, keepdim=True) + 1
            index = torch.where((masks > 0).any(dim=0, keepdim=True), index, 0).to(torch.uint8)
            items[key] = with_meta_of(index, items[key])
        items.pop(self.probability, None)
        return items

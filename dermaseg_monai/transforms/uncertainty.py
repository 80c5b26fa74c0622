"""Uncertainty maps: where a prediction may be wrong."""

from __future__ import annotations

import io
import os
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from PIL import Image

from dermaseg_monai.transforms.measure import tempered
from dermaseg_monai.transforms.write import SavePngd, photo_of
from dermaseg_monai.utils.files import stem_of, write_bytes
from dermaseg_monai.utils.tensors import plain


class Entropyd(MapTransform):
    """Put the entropy of a lesion probability under ``uncertainty``, where the network gave no map of its own.

    The binary entropy in bits: 0 where the network is sure, 1 where it has no preference. After averaging over
    flips or an ensemble it is the entropy of the mean, which grows where the views disagree.

    Args:
        keys: lesion probabilities (1, H, W).
        temperature: that calibrates the probabilities first, see :func:`dermaseg_monai.transforms.tempered`.
        allow_missing_keys: skip absent keys.

    Example:
        >>> Entropyd()({"pred": torch.tensor([[[0.0, 0.5, 1.0]]])})["uncertainty"].round(decimals=3)
        tensor([[[0., 1., 0.]]])
    """

    def __init__(
        self, keys: KeysCollection = "pred", temperature: float = 1.0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.temperature = temperature

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            if "uncertainty" not in items:
                chance = tempered(items[key], self.temperature).clamp(1e-7, 1 - 1e-7)
                items["uncertainty"] = -(chance * chance.log2() + (1 - chance) * (1 - chance).log2())
        return items


class SaveHeatmapd(SavePngd):
    """Write a map of 0 to 1 as a palette PNG, ``<stem>_<suffix>.png``: value 255 x the map, shown as heat.

    Args:
        keys: maps (1, H, W) in 0..1 whose ``meta`` holds the photo's path as ``filename_or_obj``.
        output_dir: folder for the maps, made where it is missing.
        suffix: what follows the photo's stem.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the photo's name is unknown.

    Example:
        >>> from monai.data import MetaTensor
        >>> heat = MetaTensor(torch.rand(1, 40, 60), meta={"filename_or_obj": "photo.jpg"})
        >>> _ = SaveHeatmapd(output_dir="maps")({"uncertainty": heat})
        >>> os.listdir("maps")
        ['photo_uncertainty.png']
    """

    def __init__(
        self,
        keys: KeysCollection = "uncertainty",
        output_dir: str | os.PathLike[str] = "masks",
        suffix: str = "uncertainty",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, output_dir, suffix, allow_missing_keys)
        self.suffix = suffix

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            stem = stem_of(photo_of(items[key], key))
            write_bytes(self.output_dir / f"{stem}_{self.suffix}.png", encode_heatmap(items[key]))
        return items


def encode_heatmap(heat: torch.Tensor) -> bytes:
    """Encode a map of 0 to 1 as a palette PNG: value 255 x the map, shown as heat.

    Args:
        heat: ``(1, H, W)``, floating point.

    Example:
        >>> encode_heatmap(torch.rand(1, 40, 60))[1:4]
        b'PNG'
    """
    levels = (plain(heat)[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    image = Image.fromarray(levels, mode="P")
    image.putpalette(heat_palette())
    png = io.BytesIO()
    image.save(png, format="PNG", compress_level=1)
    return png.getvalue()


@lru_cache(maxsize=1)
def heat_palette() -> bytes:
    """The colours of a map's 256 levels: red, green, blue of each."""
    colours = matplotlib.colormaps["inferno"](np.arange(256))[:, :3]
    return (colours * 255).round().astype(np.uint8).tobytes()

"""Preprocessing of photos for SAM and for MedSAM, each as in its training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import PIL
import scipy
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from dermaseg_monai.transforms import RestoreSized, fit_mask, fit_photo
from dermaseg_monai.transforms.geometry import Geometry, geometry_of, with_geometry
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

SAM_MEAN = (123.675, 116.28, 103.53)
SAM_STD = (58.395, 57.12, 57.375)


class PromptPreprocessd(MapTransform):
    """Base of both preprocessings: a square canvas, and ``meta`` that says where on it the photo lies.

    Args:
        keys: photos (3, H, W), uint8, RGB, at their full size.
        size: side of the square that the network takes, in pixels.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the size is not positive, or an item is not a uint8 photo.
    """

    name: str

    def __init__(
        self, keys: KeysCollection = "image", size: int = 1024, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if size < 1:
            raise InputError(f"the size of the network's input is {size}, but at least 1 pixel is needed.")
        self.size = size

    @abstractmethod
    def shown(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that a photo of ``size`` takes on the canvas, from its top left corner."""

    @abstractmethod
    def values(self, pixels: np.ndarray) -> torch.Tensor:
        """What the network sees of a photo (H, W, 3), uint8: float32 (3, size, size)."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            items[key] = self._prepared(items[key], key)
        return items

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """Where a photo of ``size`` (height, width) lies on the canvas."""
        height, width = self.shown(size)
        content = (0.0, 0.0, float(height), float(width))
        return Geometry(size, content, content)

    def mask(self, mask: np.ndarray, factor: int = 1) -> np.ndarray:
        """Bring a mask to the canvas, or to the canvas reduced by ``factor``: 1 where at least half an area is.

        Args:
            mask: uint8 (H, W) of 0 and 1, at the photo's size.
            factor: how many pixels of the canvas one pixel of the result covers; it divides ``size``.

        Returns:
            uint8 (size / factor, size / factor) of 0 and 1; padding is 0.
        """
        height, width = self.shown((mask.shape[0], mask.shape[1]))
        canvas = np.zeros((self.size, self.size), dtype=np.uint8)
        canvas[:height, :width] = fit_mask(mask, (height, width))
        side = self.size // factor
        share = canvas.reshape(side, factor, side, factor).mean(axis=(1, 3))
        return (share >= 0.5).view(np.uint8)

    def at_photo(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Bring the decoder's answer back to a photo.

        Args:
            logits: ``(1, h, w)`` over the canvas, at any resolution.
            size: (height, width) of the photo.

        Returns:
            Probabilities, float32 ``(1, H, W)`` on the CPU.
        """
        full = F.interpolate(
            logits[None].float(), size=(self.size, self.size), mode="bilinear", align_corners=False
        )
        probability, geometry = full[0].sigmoid().cpu(), self.geometry(size)
        tagged = with_geometry(probability, probability, geometry.extent, geometry.content)
        tagged.meta["original_size"] = size
        return RestoreSized(keys="pred", ref=None)({"pred": tagged})["pred"].as_tensor()

    def describe(self) -> str:
        """A text that differs wherever the same file could lead to other values."""
        return f"{self.name} {self.size} pillow {PIL.__version__} scipy {scipy.__version__}"

    def _prepared(self, photo: torch.Tensor, key: Hashable) -> MetaTensor:
        if photo.dtype != torch.uint8 or photo.ndim != 3 or photo.shape[0] != 3:
            raise InputError(
                f"'{key}' is {photo.dtype} of shape {tuple(photo.shape)}, but a uint8 photo (3, H, W) is expected."
            )
        before = geometry_of(photo)
        top, left, bottom, right = (round(side) for side in before.content)
        pixels = plain(photo).numpy().transpose(1, 2, 0)[top:bottom, left:right]
        height, width = self.shown((bottom - top, right - left))
        down, across = height / (bottom - top), width / (right - left)
        extent = (
            (before.extent[0] - top) * down,
            (before.extent[1] - left) * across,
            (before.extent[2] - top) * down,
            (before.extent[3] - left) * across,
        )
        return with_geometry(self.values(pixels), photo, extent, (0, 0, height, width))


class SamPreprocessd(PromptPreprocessd):
    """SAM's preprocessing: longest side to ``size``, pixel mean and deviation, zeros at the right and bottom.

    Args:
        keys: photos (3, H, W), uint8, RGB, at their full size.
        size: side of the square that the network takes, in pixels.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the size is not positive, or an item is not a uint8 photo.

    Reference: Kirillov et al., "Segment Anything", ICCV 2023; the ``segment-anything`` package.
    """

    name = "sam"

    def shown(self, size: tuple[int, int]) -> tuple[int, int]:
        scale = self.size / max(size)
        height, width = (max(1, int(side * scale + 0.5)) for side in size)
        return (height, width)

    def values(self, pixels: np.ndarray) -> torch.Tensor:
        height, width = self.shown((pixels.shape[0], pixels.shape[1]))
        resized = fit_photo(pixels, (height, width)).astype(np.float32)
        normalised = (resized - np.array(SAM_MEAN, np.float32)) / np.array(SAM_STD, np.float32)
        # padding follows normalisation: the network learnt that beyond the photo all is 0
        canvas = torch.zeros(3, self.size, self.size)
        canvas[:, :height, :width] = torch.from_numpy(normalised.transpose(2, 0, 1))
        return canvas


class MedSamPreprocessd(PromptPreprocessd):
    """MedSAM's preprocessing: the photo squashed to a square, its values from minimum to maximum to 0..1.

    Resizing is cubic, after a Gaussian against aliasing whose width follows the reduction, in 8-bit steps.

    Args:
        keys: photos (3, H, W), uint8, RGB, at their full size.
        size: side of the square that the network takes, in pixels.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the size is not positive, or an item is not a uint8 photo.

    Reference: Ma et al., "Segment anything in medical images", Nature Communications 2024, and its published
        inference script, which resizes by scikit-image with ``order=3, anti_aliasing=True``.
    """

    name = "medsam"

    def shown(self, size: tuple[int, int]) -> tuple[int, int]:
        return (self.size, self.size)

    def values(self, pixels: np.ndarray) -> torch.Tensor:
        factors = [side / self.size for side in pixels.shape[:2]]
        widths = [max(0.0, (factor - 1) / 2) for factor in factors]
        low, high = pixels.min(), pixels.max()
        canvas = np.empty((3, self.size, self.size), dtype=np.uint8)
        for channel, values in zip(canvas, pixels.transpose(2, 0, 1), strict=True):
            smooth = ndimage.gaussian_filter(values.astype(np.float64), widths, mode="mirror")
            zoom = [1 / factor for factor in factors]
            cubic = ndimage.zoom(smooth, zoom, order=3, mode="mirror", grid_mode=True)
            channel[:] = np.clip(cubic, low, high)
        low, high = canvas.min(), canvas.max()
        return torch.from_numpy((canvas - low) / np.float32(max(int(high) - int(low), 1)))


PREPROCESSING: dict[str, type[PromptPreprocessd]] = {"sam": SamPreprocessd, "medsam": MedSamPreprocessd}
"""The preprocessings by name."""

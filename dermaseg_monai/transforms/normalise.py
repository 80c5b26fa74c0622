"""Normalisation of photos from 0..255 to the values that networks take."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.utils.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise_photo(
    image: torch.Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> torch.Tensor:
    """Scale 0..255 to 0..1, then subtract the mean and divide by the standard deviation of each channel.

    Args:
        image: RGB (..., 3, H, W), uint8 or floating point in the range 0..255, on any device.
        mean: one value per channel, of images in the range 0..1.
        std: one value per channel, of images in the range 0..1.

    Returns:
        float32 tensor of the same shape; a MetaTensor stays one.

    Raises:
        InputError: the image's channels and the statistics differ in number.

    Example:
        >>> photo = torch.full((3, 1, 1), 255, dtype=torch.uint8)
        >>> normalise_photo(photo, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).flatten()
        tensor([2.0000, 2.0000, 2.0000])
    """
    if image.ndim < 3 or image.shape[-3] != len(mean):
        raise InputError(
            f"the image has shape {tuple(image.shape)}, but (..., {len(mean)}, H, W) is expected."
        )
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), image.device)
    return torch.addcmul(shift, image.to(torch.float32), scale)


def denormalise_photo(
    image: torch.Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> torch.Tensor:
    """Undo :func:`normalise_photo`, for people to look at.

    Args:
        image: normalised RGB (..., 3, H, W), floating point.
        mean: as it was subtracted.
        std: as it was divided by.

    Returns:
        uint8 tensor of the same shape.

    Example:
        >>> photo = torch.full((3, 1, 1), 200, dtype=torch.uint8)
        >>> denormalise_photo(normalise_photo(photo)).flatten()
        tensor([200, 200, 200], dtype=torch.uint8)
    """
    centre, spread = (torch.tensor(values, device=image.device)[:, None, None] for values in (mean, std))
    return ((image.float() * spread + centre) * 255).round().clamp(0, 255).to(torch.uint8)


@lru_cache(maxsize=16)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    # (x / 255 - mean) / std = x * scale + shift; kept on the device, since copying them there would stall it
    # each time
    scale = [1 / (255 * deviation) for deviation in std]
    shift = [-value / deviation for value, deviation in zip(mean, std, strict=True)]
    return (
        torch.tensor(scale, dtype=torch.float32, device=device)[:, None, None],
        torch.tensor(shift, dtype=torch.float32, device=device)[:, None, None],
    )


class NormalisePhotod(MapTransform):
    """Normalise photos, single (3, H, W) or batched (B, 3, H, W), by :func:`normalise_photo`.

    Args:
        keys: items to normalise, uint8 or floating point in the range 0..255.
        mean: mean of each channel of images in the range 0..1; that of ImageNet by default.
        std: standard deviation of each channel of images in the range 0..1; that of ImageNet by default.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the statistics are not of one length, or a standard deviation is not positive.

    Example:
        >>> NormalisePhotod()({"image": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)})["image"].dtype
        torch.float32
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(mean) != len(std) or min(std) <= 0:
            raise InputError(
                f"mean {mean} and std {std} must hold one value per channel, and std only positive ones."
            )
        self.mean = tuple(mean)
        self.std = tuple(std)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            items[key] = normalise_photo(items[key], self.mean, self.std)
        return items

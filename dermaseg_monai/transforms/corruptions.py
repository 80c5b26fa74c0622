"""Corruptions of photos, in steps, to see how a network's scores bear them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import Affine, MapTransform
from monai.utils import ensure_tuple
from torchvision.transforms.v2 import functional as F

from dermaseg_monai.datasets.phantoms.artefacts import draw_hairs, draw_ruler
from dermaseg_monai.datasets.phantoms.canvas import Canvas, Field
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain, with_meta_of

_Change = Callable[[torch.Tensor, float, np.random.Generator], torch.Tensor]


@dataclass(frozen=True)
class Corruption:
    """One way to spoil a photo.

    Attributes:
        title: what it is called in reports.
        unit: what its strength is measured in.
        clean: the strength that leaves a photo as it is; None where every strength changes it.
        lowest: least strength that is taken.
        highest: greatest strength that is taken.
        change: the function that does it, of a uint8 tensor (3, H, W), the strength and a source of randomness.
        moves: whether the photo's content moves, so that its masks must move alike.
    """

    title: str
    unit: str
    clean: float | None
    lowest: float
    highest: float
    change: _Change
    moves: bool = False


class CorruptPhotod(MapTransform):
    """Spoil photos (3, H, W), uint8, by one corruption of :data:`CORRUPTIONS`, or move their masks alike.

    The same photo, by its ``id``, is spoilt in the same way at every call and by every network; of two strengths, the
    stronger one has the same hairs as the weaker and further ones. ``meta`` stays as it is: the spoilt photo is taken
    for the photo.

    Args:
        keys: items to change; all belong to one photo.
        corruption: name of the corruption.
        strength: in the corruption's own unit.
        seed: start of randomness, together with the photo's ``id``.
        mask_keys: those of the keys that hold masks (C, H, W), uint8 of 0 and 1, which only move.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: there is no such corruption, or the strength is out of its range.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        corruption: str = "blur",
        strength: float = 1.0,
        seed: int = 0,
        mask_keys: KeysCollection = "label",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if corruption not in CORRUPTIONS:
            raise InputError(f"corruption is '{corruption}'; it must be one of {', '.join(CORRUPTIONS)}.")
        self.corruption = CORRUPTIONS[corruption]
        if not self.corruption.lowest <= strength <= self.corruption.highest:
            raise InputError(
                f"the strength of '{corruption}' is {strength}; it must lie between {self.corruption.lowest} and "
                f"{self.corruption.highest} ({self.corruption.unit})."
            )
        self.strength = strength
        self.seed = seed
        self.mask_keys = ensure_tuple(mask_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            content = plain(items[key])
            if key in self.mask_keys:
                changed = self._moved(content)
            else:
                rng = np.random.default_rng([self.seed, zlib.crc32(str(items["id"]).encode())])
                changed = self.corruption.change(content, self.strength, rng)
            items[key] = with_meta_of(changed, items[key])
        return items

    def _moved(self, mask: torch.Tensor) -> torch.Tensor:
        if not self.corruption.moves:
            return mask
        no_chance = np.random.default_rng(0)
        # shares of 0 and 255, of which a pixel belongs to the mask from one half on
        return (self.corruption.change(mask * 255, self.strength, no_chance) >= 128).to(torch.uint8)


def _blur(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    sigma = strength / 100 * math.hypot(*photo.shape[-2:])
    reach = min(math.ceil(3 * sigma), min(photo.shape[-2:]) - 1)
    return F.gaussian_blur(photo, [2 * reach + 1] * 2, [sigma] * 2) if reach else photo


def _noise(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    grain = torch.from_numpy(rng.standard_normal(photo.shape, dtype=np.float32))
    return (photo + strength * grain).round().clamp(0, 255).to(torch.uint8)


def _jpeg(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    return F.jpeg(photo.contiguous(), int(strength))


def _brightness(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    return F.adjust_brightness(photo, strength)


def _colour(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    gains = torch.tensor([1 + strength / 100, 1.0, 1 - strength / 100])[:, None, None]
    return (photo * gains).round().clamp(0, 255).to(torch.uint8)


def _scale(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    return _affine(
        photo, Affine(scale_params=(1 / strength, 1 / strength), padding_mode="border", image_only=True)
    )


def _rotation(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    return _affine(
        photo, Affine(rotate_params=math.radians(strength), padding_mode="border", image_only=True)
    )


def _affine(photo: torch.Tensor, move: Affine) -> torch.Tensor:
    return plain(torch.as_tensor(move(photo.float()))).round().clamp(0, 255).to(torch.uint8)


def _hair(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    return _drawn(photo, lambda canvas, image: draw_hairs(canvas, rng, image, round(strength)))


def _ruler(photo: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    def draw(canvas: Canvas, image: Field) -> None:
        for stream in rng.spawn(round(strength)):
            draw_ruler(canvas, stream, image)

    return _drawn(photo, draw)


def _drawn(photo: torch.Tensor, draw: Callable[[Canvas, Field], None]) -> torch.Tensor:
    image = photo.numpy().astype(np.float32) / np.float32(255)
    draw(Canvas(*image.shape[-2:]), image)
    return torch.from_numpy((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))


CORRUPTIONS: Mapping[str, Corruption] = {
    "blur": Corruption("blur", "standard deviation in % of the diagonal", 0, 0, 10, _blur),
    "noise": Corruption("noise", "standard deviation in grey levels of 255", 0, 0, 255, _noise),
    "jpeg": Corruption("JPEG", "quality", None, 1, 100, _jpeg),
    "brightness": Corruption("brightness", "factor", 1, 0, 10, _brightness),
    "colour": Corruption(
        "colour cast", "% of red added and of blue taken, below 0 the reverse", 0, -100, 100, _colour
    ),
    "scale": Corruption("scale", "factor", 1, 0.1, 10, _scale, moves=True),
    "rotation": Corruption("rotation", "degrees", 0, -360, 360, _rotation, moves=True),
    "hair": Corruption("drawn hair", "hairs", 0, 0, 1000, _hair),
    "ruler": Corruption("drawn rulers", "rulers", 0, 0, 20, _ruler),
}
"""The corruptions by name: blur, noise, compression, light, colour, geometry, and what lies on the skin."""

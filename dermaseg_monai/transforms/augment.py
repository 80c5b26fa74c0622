"""Random augmentation: of whole batches on the device, and of single items by dictionary transforms.

Both take the same numbers and draw from the same distributions. In this order: brightness, contrast,
saturation and hue of the photo; horizontal and vertical flips; one affine map about the centre; a crop.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import (
    AsDiscreted,
    Compose,
    MapTransform,
    RandAffined,
    RandAffineGrid,
    RandFlipd,
    Randomizable,
    RandSpatialCropd,
    RandTorchVisiond,
)

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

PADDINGS = ("zeros", "border", "reflection")

_LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights of a grayscale image
# The YIQ axes of chroma; hue turns them about the gray axis.
_CHROMA = ((0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


class BatchAugment:
    """Augment a batch on its own device: one affine grid, one grid sample, one colour matrix.

    Every sample draws its own parameters, uniformly. Photo and mask are sampled together by bilinear
    interpolation, so they cannot drift apart. There is no loop over samples and nothing waits for the device.
    The arithmetic is float32 under any autocast.

    Brightness, contrast and saturation are those of torchvision's ``ColorJitter``, applied as one linear map
    and clipped once; hue turns chroma about the gray axis (YIQ), which keeps luminance.

    Args:
        flip: mirror left and right with probability one half, and top and bottom likewise.
        rotate: largest rotation either way, in degrees.
        scale: smallest and largest magnification about the centre; above 1 the lesion looks larger.
        shift: largest shift either way along each axis, as a share of that side.
        shear: largest shear either way along each axis, as a share (0.1 moves the corners by a twentieth of a
            side).
        crop_size: (height, width) of a random crop at the end, or None.
        padding: what lies outside the photo: "zeros", "border" or "reflection".
        brightness: brightness is multiplied by 1 - brightness to 1 + brightness.
        contrast: distances to the photo's mean luminance are multiplied by 1 - contrast to 1 + contrast.
        saturation: distances to gray are multiplied by 1 - saturation to 1 + saturation.
        hue: largest turn of hue either way, as a share of the full circle.
        soft_label: return the interpolated label, float32 in 0..1, rather than thresholding it at 0.5.
        image_key: the photo's key.
        label_key: the mask's key; may be absent from a batch.

    Raises:
        InputError: a parameter lies outside its range.

    Example:
        >>> augment = BatchAugment(rotate=180.0, scale=(0.9, 1.1), brightness=0.2, hue=0.02)
        >>> batch = {
        ...     "image": torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
        ...     "label": torch.ones(2, 1, 32, 32, dtype=torch.uint8),
        ... }
        >>> augmented = augment(batch)
        >>> augmented["image"].shape, augmented["label"].shape
        (torch.Size([2, 3, 32, 32]), torch.Size([2, 1, 32, 32]))
    """

    def __init__(
        self,
        flip: bool = True,
        rotate: float = 0.0,
        scale: Sequence[float] = (1.0, 1.0),
        shift: float = 0.0,
        shear: float = 0.0,
        crop_size: Sequence[int] | None = None,
        padding: str = "zeros",
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        soft_label: bool = False,
        image_key: str = "image",
        label_key: str = "label",
    ) -> None:
        _check_ranges(
            {
                "rotate": (rotate, 180),
                "shift": (shift, 1),
                "shear": (shear, 1),
                "brightness": (brightness, 1),
                "contrast": (contrast, 1),
                "saturation": (saturation, 1),
                "hue": (hue, 0.5),
            },
            padding,
        )
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise InputError(
                f"scale is {tuple(scale)}, but (smallest, largest) magnification above 0 is needed."
            )
        self.flip = flip
        self.rotate = math.radians(rotate)
        self.scale = (float(scale[0]), float(scale[1]))
        self.shift, self.shear = shift, shear
        self.crop_size = None if crop_size is None else (int(crop_size[0]), int(crop_size[1]))
        self.padding = padding
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue = 2 * math.pi * hue
        self.soft_label = soft_label
        self.image_key, self.label_key = image_key, label_key

    def __call__(
        self, batch: Mapping[Hashable, Any], generator: torch.Generator | None = None
    ) -> dict[Hashable, Any]:
        """Augment one batch.

        Args:
            batch: the photo, uint8 or floating point in 0..255 (B, 3, H, W), and the label, uint8 of 0 and 1
                (B, C, H, W), on one device; other items are passed through.
            generator: source of all randomness, on the batch's device; the same state gives the same result.
                None takes the device's default generator.

        Returns:
            The batch with the photo as float32 in 0..255, to be normalised, and the label as uint8 of 0 and
            1, both of the crop's size if there is one. They are plain tensors: meta that described the
            geometry is dropped.

        Raises:
            InputError: the crop is larger than the photos, or photo and label differ in size.
        """
        items = dict(batch)
        image = plain(items[self.image_key])
        label = plain(items[self.label_key]) if self.label_key in items else None
        size = (int(image.shape[-2]), int(image.shape[-1]))
        if label is not None and tuple(label.shape[-2:]) != size:
            raise InputError(
                f"'{self.image_key}' has shape {tuple(image.shape)} and '{self.label_key}' "
                f"{tuple(label.shape)}, but height and width must agree."
            )
        crop = self.crop_size or size
        if crop[0] > size[0] or crop[1] > size[1]:
            raise InputError(f"crop_size is {crop}, but the photos are {size}; crop no more than there is.")
        with torch.autocast(image.device.type, enabled=False):
            draws = torch.rand(14, image.shape[0], device=image.device, generator=generator)
            photo = self._coloured(image.float(), draws[10:])
            planes = photo if label is None else torch.cat([photo, label.float()], dim=1)
            theta = self._theta(draws[:10], size, crop)
            grid = F.affine_grid(theta, [image.shape[0], 1, *crop], align_corners=False)
            planes = F.grid_sample(
                planes, grid, mode="bilinear", padding_mode=self.padding, align_corners=False
            )
        items[self.image_key] = planes[:, : image.shape[1]]
        if label is not None:
            soft = planes[:, image.shape[1] :]
            items[self.label_key] = soft if self.soft_label else (soft >= 0.5).to(torch.uint8)
        return items

    def _theta(self, draws: torch.Tensor, size: tuple[int, int], crop: tuple[int, int]) -> torch.Tensor:
        """Maps (B, 2, 3) from the output's coordinates to the input's, each from -1 to 1, x before y.

        In pixels about the centre, input = flip . rotate . shear . (factor . (output + crop offset) + shift):
        the order of MONAI's affine grids.
        """
        height, width = size
        signed = draws * 2 - 1
        flips = (draws[:2] < 0.5).float() * -2 + 1 if self.flip else torch.ones_like(draws[:2])
        flip_x, flip_y = flips[0], flips[1]
        angle = signed[2] * self.rotate
        low, high = self.scale
        factor = 1 / (low + draws[3] * (high - low))
        shift_x, shift_y = signed[4] * (self.shift * width), signed[5] * (self.shift * height)
        shear_x, shear_y = signed[6] * self.shear, signed[7] * self.shear
        rows, columns = height - crop[0], width - crop[1]
        row = (draws[8] * (rows + 1)).floor().clamp_(max=rows)
        column = (draws[9] * (columns + 1)).floor().clamp_(max=columns)
        shift_x = shift_x + factor * (column - columns / 2)
        shift_y = shift_y + factor * (row - rows / 2)
        cos, sin = angle.cos(), angle.sin()
        # flip . rotate . shear, in x and y
        xx = flip_x * (cos * (1 + shear_x * shear_y) - sin * shear_y)
        xy = flip_x * (cos * shear_x - sin)
        yx = flip_y * (sin * (1 + shear_x * shear_y) + cos * shear_y)
        yy = flip_y * (sin * shear_x + cos)
        x = [xx * factor * crop[1], xy * factor * crop[0], 2 * (xx * shift_x + xy * shift_y)]
        y = [yx * factor * crop[1], yy * factor * crop[0], 2 * (yx * shift_x + yy * shift_y)]
        return torch.stack([torch.stack(x, dim=-1) / width, torch.stack(y, dim=-1) / height], dim=1)

    def _coloured(self, photo: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Apply to float photos (B, 3, H, W) in 0..255 one colour matrix each, and clip."""
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            return photo
        signed = (draws * 2 - 1)[:, :, None, None]
        brightness = 1 + signed[0] * self.brightness
        contrast = 1 + signed[1] * self.contrast
        saturation = 1 + signed[2] * self.saturation
        luma, gray, chroma, turn = _colour_axes(photo.device)
        if self.hue:
            chroma = _turned(chroma, turn, signed[3] * self.hue)
        matrix = brightness * contrast * (gray + saturation * chroma)
        mean = (photo.mean(dim=(2, 3)) @ luma)[:, None, None]
        offset = (brightness * (1 - contrast) * mean).expand(-1, 3, 1)
        return torch.baddbmm(offset, matrix, photo.flatten(2)).clamp_(0, 255).view_as(photo)


def dictionary_augment(size: Sequence[int], **ranges: Any) -> Compose:
    """Build the plain counterpart of :class:`BatchAugment`: MONAI's dictionary transforms for single items.

    ``RandTorchVisiond`` (ColorJitter), :class:`RandHued`, ``RandFlipd``, ``RandAffined`` and
    ``RandSpatialCropd``, then the label thresholded at 0.5. ColorJitter draws from torch's global generator,
    the others from MONAI's random state.

    Args:
        size: (height, width) of the items.
        **ranges: the arguments of :class:`BatchAugment`, which give the same distributions here;
            ``soft_label`` is not among them.

    Returns:
        Transform of items with a uint8 photo (3, H, W) and label (C, H, W), at ``image_key`` and
        ``label_key``; the photo comes out as float32 in 0..255, the label as uint8 of 0 and 1.

    Raises:
        InputError: a parameter lies outside its range, or ``soft_label`` is asked for.

    Example:
        >>> augment = dictionary_augment((32, 32), rotate=180.0, brightness=0.2)
        >>> item = {
        ...     "image": torch.zeros(3, 32, 32, dtype=torch.uint8),
        ...     "label": torch.ones(1, 32, 32, dtype=torch.uint8),
        ... }
        >>> augment(item)["label"].shape
        torch.Size([1, 32, 32])
    """
    batch = BatchAugment(**ranges)
    if batch.soft_label:
        raise InputError(
            "soft_label is asked for, but the dictionary transforms threshold the label; leave it out."
        )
    image, label = batch.image_key, batch.label_key
    jitter = RandTorchVisiond(
        keys=image,
        name="ColorJitter",
        brightness=batch.brightness,
        contrast=batch.contrast,
        saturation=batch.saturation,
    )
    hue = [RandHued(image, batch.hue)] if batch.hue else []
    keys = (image, label)
    flips = [RandFlipd(keys, prob=0.5 if batch.flip else 0.0, spatial_axis=axis) for axis in (0, 1)]
    affine = RandAffined(
        keys,
        prob=1.0,
        rotate_range=batch.rotate,
        shear_range=(batch.shear, batch.shear),
        translate_range=(batch.shift * size[0], batch.shift * size[1]),
        padding_mode=batch.padding,
    )
    affine.rand_affine.rand_affine_grid = _IsotropicGrid(batch.scale, affine.rand_affine.rand_affine_grid)
    crop = [] if batch.crop_size is None else [RandSpatialCropd(keys, batch.crop_size, random_size=False)]
    return Compose(
        [jitter, *hue, *flips, affine, *crop, AsDiscreted(label, threshold=0.5, dtype=torch.uint8)]
    )


class RandHued(Randomizable, MapTransform):
    """Turn a photo's chroma about the gray axis (YIQ) by a random angle, as :class:`BatchAugment` does.

    Args:
        keys: photos (3, H, W), uint8 or floating point in 0..255; they come out as float32 in 0..255.
        angle: largest turn either way, in radians.
        allow_missing_keys: skip absent keys.
    """

    def __init__(self, keys: KeysCollection, angle: float, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.angle = angle
        self.drawn = 0.0

    def randomize(self, data: Any | None = None) -> None:
        """Draw the next angle."""
        self.drawn = self.R.uniform(-self.angle, self.angle)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        self.randomize()
        for key in self.key_iterator(items):
            photo = items[key]
            _, gray, chroma, turn = _colour_axes(photo.device)
            matrix = gray + _turned(chroma, turn, torch.tensor(self.drawn))
            items[key] = (matrix @ photo.float().flatten(1)).clamp_(0, 255).view_as(photo)
        return items


class _IsotropicGrid(RandAffineGrid):
    """MONAI's random affine grid with one magnification for both axes; MONAI draws one for each."""

    def __init__(self, magnification: tuple[float, float], grid: RandAffineGrid) -> None:
        super().__init__(grid.rotate_range, grid.shear_range, grid.translate_range)
        self.magnification = magnification

    def randomize(self, data: Any | None = None) -> None:
        super().randomize(data)
        self.scale_params = [1 / self.R.uniform(*self.magnification)] * 2


def _check_ranges(ranges: Mapping[str, tuple[float, float]], padding: str) -> None:
    for name, (value, largest) in ranges.items():
        if not 0 <= value <= largest:
            raise InputError(f"{name} is {value}, but it must lie between 0 and {largest}.")
    if padding not in PADDINGS:
        raise InputError(f"padding is '{padding}', but it must be one of {', '.join(PADDINGS)}.")


def _turned(chroma: torch.Tensor, turn: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """The matrix that keeps chroma and turns it by ``angle`` radians, of those of :func:`_colour_axes`."""
    return angle.cos() * chroma + angle.sin() * turn


@lru_cache(maxsize=16)
def _colour_axes(device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Luma weights (3), and the matrices (3, 3) that keep gray, keep chroma, and turn chroma by 90 degrees.

    Kept on the device: copying them there would make the host wait each time.
    """
    yiq = torch.tensor([_LUMA, *_CHROMA], dtype=torch.float64)
    turn = torch.tensor([[0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    gray = yiq[0].expand(3, 3)
    matrices = (yiq[0], gray, torch.eye(3, dtype=torch.float64) - gray, torch.linalg.inv(yiq) @ turn @ yiq)
    luma, gray, chroma, turn = (matrix.to(device=device, dtype=torch.float32) for matrix in matrices)
    return luma, gray, chroma, turn

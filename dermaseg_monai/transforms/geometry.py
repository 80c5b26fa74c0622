"""Geometry between a photo's own size and the network's: fit, and restore.

Pixels are squares and coordinates are measured from the top left corner of the first one, so that a pixel's
centre lies at a half (``align_corners=False``). Every tensor carries in its ``meta`` the ``original_size`` of
the photo and the ``extent`` of the whole photo in its own coordinates; cropping, resizing and padding only
move that extent, and restoring inverts it, whatever was done in between. ``content`` is the part of a tensor
that is not padding.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple
from PIL import Image

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

ASPECTS = ("squash", "pad")

Box = tuple[float, float, float, float]


class Geometry(NamedTuple):
    """Where a tensor shows its photo; boxes are (top, left, bottom, right) in pixels of the tensor.

    Attributes:
        original_size: (height, width) of the photo.
        extent: the box of the whole photo, which reaches beyond the tensor where it was cropped.
        content: the box of the tensor that is photo and not padding.
    """

    original_size: tuple[int, int]
    extent: Box
    content: Box

    def to_photo(self, box: Box) -> tuple[int, int, int, int]:
        """Bring a box from the tensor to whole pixels of the photo."""
        return _whole(_moved(box, self.extent, (0, 0, *self.original_size)), self.original_size)

    def from_photo(self, box: Box) -> Box:
        """Bring a box from the photo to the tensor."""
        return _moved(box, (0, 0, *self.original_size), self.extent)


def geometry_of(tensor: torch.Tensor) -> Geometry:
    """Read the geometry that a tensor (C, H, W) carries in its meta; without one it is itself the photo."""
    height, width = int(tensor.shape[-2]), int(tensor.shape[-1])
    meta = tensor.meta if isinstance(tensor, MetaTensor) else {}
    if "extent" not in meta:
        whole = (0.0, 0.0, float(height), float(width))
        return Geometry((height, width), whole, whole)
    rows, columns = (int(side) for side in meta["original_size"])
    extent = _box(meta["extent"])
    visible = (max(extent[0], 0.0), max(extent[1], 0.0), min(extent[2], height), min(extent[3], width))
    return Geometry((rows, columns), extent, _box(meta.get("content", visible)))


def with_geometry(
    array: torch.Tensor, source: torch.Tensor, extent: Box, content: Box | None = None
) -> MetaTensor:
    """Give ``array`` the meta of ``source`` with a new extent and content (None: all that is visible)."""
    meta = dict(source.meta) if isinstance(source, MetaTensor) else {}
    meta.pop("content", None)
    meta["original_size"] = geometry_of(source).original_size
    meta["extent"] = tuple(float(side) for side in extent)
    if content is not None:
        meta["content"] = tuple(float(side) for side in content)
    return MetaTensor(plain(array), meta=meta)


def check_same_photo(items: Mapping[Hashable, Any], keys: Sequence[Hashable]) -> None:
    """Raise InputError where the items of one photo (image and label) are not of one original size."""
    first, *others = keys
    size = geometry_of(items[first]).original_size
    for key in others:
        other = geometry_of(items[key]).original_size
        if other != size:
            raise InputError(
                f"{_name(items[key], key)} is {other[1]} x {other[0]} pixels, but "
                f"{_name(items[first], first)} is {size[1]} x {size[0]}; a photo and its masks must agree."
            )


def placement(
    shape: tuple[float, float], size: tuple[int, int], aspect: str = "squash"
) -> tuple[int, int, int, int]:
    """The box that a photo takes on the canvas.

    Args:
        shape: (height, width) of the photo.
        size: (height, width) of the canvas.
        aspect: "squash" fills the canvas; "pad" keeps the aspect and centres the photo.

    Returns:
        (top, left, bottom, right) on the canvas, in whole pixels.

    Raises:
        InputError: ``aspect`` is neither.
    """
    if aspect not in ASPECTS:
        raise InputError(f"aspect is '{aspect}', but it must be one of {', '.join(ASPECTS)}.")
    if aspect == "squash":
        return (0, 0, size[0], size[1])
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(1, min(side, round(full * scale))) for full, side in zip(shape, size, strict=True))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return (top, left, top + height, left + width)


def fit_photo(
    pixels: np.ndarray, size: tuple[int, int], aspect: str = "squash", extent: Box | None = None
) -> np.ndarray:
    """Bring a photo to the canvas by antialiased bilinear resampling; padding is black.

    Args:
        pixels: uint8 array (H, W, 3).
        size: (height, width) of the canvas.
        aspect: "squash" or "pad", see :func:`placement`.
        extent: (top, left, bottom, right) of the part to fit, in pixels, fractions allowed; all of it if
            None.

    Returns:
        uint8 array (height, width, 3).

    Example:
        >>> fit_photo(np.zeros((40, 60, 3), np.uint8), (16, 16), aspect="pad").shape
        (16, 16, 3)
    """
    return _fit(pixels, size, aspect, extent, Image.Resampling.BILINEAR)


def fit_mask(
    mask: np.ndarray, size: tuple[int, int], aspect: str = "squash", extent: Box | None = None
) -> np.ndarray:
    """Bring a mask to the canvas: a pixel is 1 where at least half of its area is; padding is 0.

    Args:
        mask: uint8 array (H, W) of 0 and 1.
        size: (height, width) of the canvas.
        aspect: "squash" or "pad", see :func:`placement`.
        extent: (top, left, bottom, right) of the part to fit, in pixels, fractions allowed; all of it if
            None.

    Returns:
        uint8 array (height, width) of 0 and 1.

    Example:
        >>> mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], np.uint8)
        >>> fit_mask(mask, (1, 2))
        array([[1, 0]], dtype=uint8)
    """
    top, left, bottom, right = extent or (0, 0, *mask.shape)
    # a box filter only averages where both sides shrink; enlarging, it would repeat pixels
    shrinks = bottom - top >= size[0] and right - left >= size[1]
    resampling = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return (_fit(mask * np.uint8(255), size, aspect, extent, resampling) >= 128).view(np.uint8)


class Fitd(MapTransform):
    """Bring photos and masks (C, H, W), uint8, to the network's size, exactly aligned.

    Photos are resampled by :func:`fit_photo`, masks (of 0 and 1) by :func:`fit_mask`; ``meta`` records the
    geometry for :class:`RestoreSized`.

    Args:
        keys: items to fit; all show the same photo.
        size: (height, width) to bring them to.
        aspect: "squash" fills the size whatever the photo's aspect, the published practice; "pad" keeps the
            aspect, centres the photo and pads with black.
        mask_keys: those of the keys that hold masks.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: size or aspect is impossible, an item is not uint8, or photo and mask differ in original
            size.

    Example:
        >>> item = {
        ...     "image": torch.zeros(3, 40, 60, dtype=torch.uint8),
        ...     "label": torch.ones(1, 40, 60, dtype=torch.uint8),
        ... }
        >>> fitted = Fitd(size=(16, 24))(item)
        >>> fitted["image"].shape, fitted["label"].shape
        (torch.Size([3, 16, 24]), torch.Size([1, 16, 24]))
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        size: Sequence[int] = (256, 256),
        aspect: str = "squash",
        mask_keys: KeysCollection = "label",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(size) != 2 or min(size) < 1:
            raise InputError(f"size is {tuple(size)}, but (height, width) of at least 1 pixel is needed.")
        self.size = (int(size[0]), int(size[1]))
        placement((1, 1), self.size, aspect)  # refuses an unknown aspect now rather than at the first photo
        self.aspect = aspect
        self.mask_keys = ensure_tuple(mask_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        keys = list(self.key_iterator(items))
        if keys:
            check_same_photo(items, keys)
        for key in keys:
            items[key] = self._fitted(items[key], key, key in self.mask_keys)
        return items

    def _fitted(self, tensor: torch.Tensor, key: Hashable, is_mask: bool) -> MetaTensor:
        if tensor.dtype != torch.uint8 or tensor.ndim != 3:
            raise InputError(
                f"'{key}' is {tensor.dtype} of shape {tuple(tensor.shape)}, but uint8 of shape (C, H, W) is "
                "expected; fit before normalising."
            )
        before = geometry_of(tensor)
        source = before.content
        content = placement((source[2] - source[0], source[3] - source[1]), self.size, self.aspect)
        array = plain(tensor).numpy()
        if is_mask:
            fitted = np.stack([fit_mask(mask, self.size, self.aspect, source) for mask in array])
        else:
            fitted = fit_photo(array.transpose(1, 2, 0), self.size, self.aspect, source).transpose(2, 0, 1)
        extent = _moved(before.extent, source, content)
        return with_geometry(torch.from_numpy(np.ascontiguousarray(fitted)), tensor, extent, content)


class Window(NamedTuple):
    """A prediction without its padding, and its place in the photo.

    Attributes:
        shown: float32 (C, h, w), what the network was shown of the photo.
        box: (top, left, bottom, right) of that in the photo, in whole pixels.
        reference: a tensor with the photo's geometry.
    """

    shown: torch.Tensor
    box: tuple[int, int, int, int]
    reference: MetaTensor

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the box."""
        return (self.box[2] - self.box[0], self.box[3] - self.box[1])

    def placed(self, full: torch.Tensor, outside: Sequence[float]) -> MetaTensor:
        """Put a tensor (C, H, W) of the box's size into its photo; beyond the box each channel has its own value."""
        rows, columns = geometry_of(self.reference).original_size
        if self.size != (rows, columns):
            top, left, bottom, right = self.box
            margins = (left, columns - right, top, rows - bottom)
            channels = [
                F.pad(channel, margins, value=value) for channel, value in zip(full, outside, strict=True)
            ]
            full = torch.stack(channels)
        return with_geometry(full, self.reference, (0, 0, rows, columns))


class RestoreSized(MapTransform):
    """Bring logits or probabilities (C, h, w) back to their photo's own size, (C, H, W).

    Padding is cut off, the rest interpolated bilinearly, and what a crop had left out filled with a constant.
    The tensor's ``meta`` is then that of the photo.

    Args:
        keys: predictions to restore, floating point, at the size the network was given.
        ref: item whose ``meta`` holds the geometry, the network's input; predictions that carry a geometry of
            their own are restored by that one.
        outside: value of photo pixels that the network was not shown; 0 suits probabilities, logits need a
            large negative one.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: no geometry is found, the prediction is not floating point, or not of the recorded size.

    Example:
        >>> item = Fitd("image", (16, 16))({"image": torch.zeros(3, 40, 60, dtype=torch.uint8)})
        >>> item["pred"] = torch.rand(1, 16, 16)
        >>> RestoreSized()(item)["pred"].shape
        torch.Size([1, 40, 60])
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        ref: str | None = "image",
        outside: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.ref = ref
        self.outside = outside

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            window = self.window(items, key)
            shown = window.shown
            if tuple(shown.shape[-2:]) != window.size:
                shown = F.interpolate(shown[None], size=window.size, mode="bilinear", align_corners=False)[0]
            items[key] = window.placed(shown, [self.outside] * len(shown))
        return items

    def window(self, items: Mapping[Hashable, Any], key: Hashable) -> Window:
        """The part of a prediction that shows the photo, and its box in the photo.

        Args:
            items: with the prediction and its reference.
            key: of the prediction.

        Raises:
            InputError: as the transform itself.
        """
        pred, reference = items[key], self._reference(items, key)
        self._check(pred, reference, key)
        geometry = geometry_of(reference)
        top, left, bottom, right = box = _whole(geometry.content, (pred.shape[-2], pred.shape[-1]))
        return Window(plain(pred)[:, top:bottom, left:right].float(), geometry.to_photo(box), reference)

    def _reference(self, items: Mapping[Hashable, Any], key: Hashable) -> MetaTensor:
        for candidate in (items[key], items.get(self.ref)):
            if isinstance(candidate, MetaTensor) and "extent" in candidate.meta:
                return candidate
        raise InputError(f"neither '{self.ref}' nor '{key}' knows its photo's size; load it with LoadPhotod.")

    def _check(self, pred: torch.Tensor, reference: MetaTensor, key: Hashable) -> None:
        if not pred.is_floating_point() or pred.ndim != 3:
            raise InputError(
                f"'{key}' is {pred.dtype} of shape {tuple(pred.shape)}, but logits or probabilities "
                "(C, h, w) are expected; threshold after restoring."
            )
        if pred.shape[-2:] != reference.shape[-2:]:
            raise InputError(
                f"'{key}' has shape {tuple(pred.shape)}, but '{self.ref}' that it belongs to has "
                f"{tuple(reference.shape)}; their height and width must agree."
            )


def _fit(
    array: np.ndarray, size: tuple[int, int], aspect: str, extent: Box | None, resampling: Image.Resampling
) -> np.ndarray:
    top, left, bottom, right = extent or (0, 0, array.shape[0], array.shape[1])
    box = placement((bottom - top, right - left), size, aspect)
    height, width = box[2] - box[0], box[3] - box[1]
    image = Image.fromarray(np.ascontiguousarray(array))
    fitted = np.array(image.resize((width, height), resampling, box=(left, top, right, bottom)))
    if (height, width) == size:
        return fitted
    canvas = np.zeros((*size, *array.shape[2:]), dtype=np.uint8)
    canvas[box[0] : box[2], box[1] : box[3]] = fitted
    return canvas


def _moved(box: Box, source: Box, target: Box) -> Box:
    """Move a box by the map that takes the box ``source`` to the box ``target``."""
    sides = [
        target[axis]
        + (box[side] - source[axis]) * (target[axis + 2] - target[axis]) / (source[axis + 2] - source[axis])
        for side, axis in ((0, 0), (1, 1), (2, 0), (3, 1))
    ]
    return (sides[0], sides[1], sides[2], sides[3])


def _whole(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Round a box to whole pixels within an array of ``size``, leaving at least one pixel."""
    top, left = (min(max(round(box[axis]), 0), size[axis] - 1) for axis in (0, 1))
    bottom, right = (
        min(max(round(box[axis + 2]), start + 1), size[axis]) for axis, start in ((0, top), (1, left))
    )
    return (top, left, bottom, right)


def _box(values: Sequence[Any]) -> Box:
    top, left, bottom, right = (float(value) for value in values)
    return (top, left, bottom, right)


def _name(tensor: torch.Tensor, key: Hashable) -> str:
    name = tensor.meta.get("filename_or_obj") if isinstance(tensor, MetaTensor) else None
    return str(name or f"'{key}'")

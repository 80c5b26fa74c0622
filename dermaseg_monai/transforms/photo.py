"""Photos and masks from files: whatever the format, one RGB or 0/1 array the right way up."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from PIL import ExifTags, Image

from dermaseg_monai.errors import InputError
from dermaseg_monai.transforms.dicom import open_dicom
from dermaseg_monai.transforms.frame import find_lens
from dermaseg_monai.transforms.values import to_8_bit

MAX_PIXELS = 178_956_970
"""Largest photo that is opened, in pixels: Pillow's own limit against decompression bombs."""

# Raster formats only: Pillow would hand some of the others (EPS) to an outside program. JPEG includes MPO.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "GIF", "WEBP", "JPEG2000", "PPM")
_DICOM_SUFFIXES = (".dcm", ".dicom")
_SWAPPED, _MIRRORED, _UPSIDE_DOWN = {5, 6, 7, 8}, {2, 3, 6, 7}, {3, 4, 7, 8}  # EXIF orientation codes

Extent = tuple[float, float, float, float]


class Photo(NamedTuple):
    """A decoded photo and where the whole photo lies in it.

    Attributes:
        pixels: uint8 array (H, W, 3), RGB.
        size: (height, width) of the full, oriented photo, which is larger than ``pixels`` after a reduced
            decoding.
        extent: (top, left, bottom, right) of the photo in ``pixels``, in pixels of ``pixels``. Reduced
            decoding rounds sizes up, so the photo may end within the last row or column.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    extent: Extent


def open_photo(
    path: str | os.PathLike[str], reduce_to: int | None = None, max_pixels: int | None = None
) -> Photo:
    """Decode a photo of any usual format to 8-bit RGB, oriented by its EXIF tag.

    Grayscale is repeated over the three channels; palettes are resolved; transparency is composited on white,
    as viewers show it; CMYK is converted without its ink profile; 16-bit and DICOM values are scaled by the
    number of bits in use (8, 10, 12, 14 or 16; the fewest that hold the largest value where the file doesn't
    say), other integers and floats by their own minimum and maximum (floats within 0..1 by that range); of an
    animation or several pages or frames the first is taken. DICOM (by suffix ``.dcm``/``.dicom`` or by its
    signature) is read by :mod:`dermaseg_monai.transforms.dicom`, which refuses what header and pixels disagree on.

    Args:
        path: the file.
        reduce_to: decode JPEG files at 1/2, 1/4 or 1/8 of their size, straight from the DCT coefficients,
            with both sides still at least this many pixels. Other formats are always decoded in full.
        max_pixels: refuse larger photos before they are decoded; ``MAX_PIXELS`` by default.

    Returns:
        The photo with its true size.

    Raises:
        InputError: the file is missing, empty, damaged, not a photo, or has more than ``max_pixels`` pixels.
    """
    path = Path(path)
    check_file(path)
    if reduce_to is not None and reduce_to < 1:
        raise InputError(f"reduce_to is {reduce_to}, but photos can only be reduced to 1 pixel or more.")
    try:
        if _is_dicom(path):
            pixels = _decode_dicom(path, max_pixels)
            height, width = pixels.shape[:2]
            return Photo(pixels, (height, width), (0.0, 0.0, float(height), float(width)))
        with Image.open(path, formats=_FORMATS) as image:
            _check_pixels(image.width, image.height, max_pixels)
            full = image.size
            if reduce_to is not None:
                image.draft(None, (reduce_to, reduce_to))  # does nothing but to JPEG
            step = _reduction(full, image.size)
            image.load()  # before the orientation, whose reading would swallow what is wrong with a PNG's pixels
            orientation = _orientation(image)
            decoded = _decode_rgb(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # decoders fail on damaged bytes in every way there is
        raise _unreadable(path, error) from error
    return _oriented(decoded, full, step, orientation)


def read_photo(path: str | os.PathLike[str], reduce_to: int | None = None) -> np.ndarray:
    """Decode a photo of any usual format to a uint8 array (H, W, 3), RGB, oriented.

    Args:
        path: the file.
        reduce_to: see :func:`open_photo`.

    Returns:
        The pixels alone of :func:`open_photo`.

    Raises:
        InputError: see :func:`open_photo`.
    """
    return open_photo(path, reduce_to).pixels


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a mask file as 0/1.

    The rule: values are brought to 8 bits; where the largest is 0 or 1 the file holds 0/1 (as MONAI Label
        writes
    it) and 1 is lesion; otherwise it holds 0/255 (as ISIC's files do) and values of at least 128 are lesion.
    A file whose largest value lies between 2 and 127 is neither and refused.

    Args:
        path: the file; colour is reduced to luminance, EXIF orientation applied, a 1-bit file is 0/255.

    Returns:
        uint8 array (H, W) of 0 and 1.

    Raises:
        InputError: the file is missing, empty, damaged, not an image, too large, or neither 0/1 nor 0/255.
    """
    path = Path(path)
    check_file(path)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check_pixels(image.width, image.height)
            image.load()  # before the orientation, whose reading would swallow what is wrong with a PNG's pixels
            orientation = _orientation(image)
            values = _decode_gray(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # decoders fail on damaged bytes in every way there is
        raise _unreadable(path, error) from error
    values = _oriented(values, (values.shape[1], values.shape[0]), 1, orientation).pixels
    largest = int(values.max())
    if largest <= 1:
        return values
    if largest < 128:
        raise InputError(
            f"{path}: the largest value of this mask is {largest}, but masks hold 0 and 255 (or 0 and 1); "
            "write it again with those values."
        )
    return (values >= 128).view(np.uint8)


class LoadPhotod(MapTransform):
    """Load a photo from its path, as a uint8 tensor (3, H, W), RGB.

    The tensor's ``meta`` holds ``filename_or_obj`` (the path), ``original_size`` ((height, width) of the
    full, oriented photo) and ``extent`` ((top, left, bottom, right) of the whole photo in the tensor, in
    pixels), from which :class:`~dermaseg_monai.transforms.geometry.Restored` brings a prediction back to the
    photo.

    Args:
        keys: items that hold the path of one photo each.
        reduce_to: decode JPEG files at a reduced scale with both sides still at least this many pixels, see
            :func:`open_photo`. Twice the network's longer side leaves the resampling to
            :class:`~dermaseg_monai.transforms.geometry.Fitd`.
        crop_lens: the photo will be cropped to what the lens shows
            (:class:`~dermaseg_monai.transforms.frame.CropLensd`), whose sides then count for ``reduce_to``.
        allow_missing_keys: skip absent keys.

    Attributes:
        max_pixels: larger photos are refused before they are decoded; None for the limit of :func:`open_photo`.

    Raises:
        InputError: an item is no path, or the file cannot be read.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        reduce_to: int | None = None,
        crop_lens: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.reduce_to = reduce_to
        self.crop_lens = crop_lens
        self.max_pixels: int | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            path = _as_path(items[key], key)
            photo = open_photo(path, self.reduce_to, self.max_pixels)
            while self.crop_lens and self._is_too_small(photo):
                photo = open_photo(path, min(photo.pixels.shape[:2]) + 1)  # at the next larger scale
            # a view: the transforms that follow read rows of RGB triples fastest
            tensor = torch.from_numpy(photo.pixels).permute(2, 0, 1)
            meta = {"filename_or_obj": path, "original_size": photo.size, "extent": photo.extent}
            items[key] = MetaTensor(tensor, meta=meta)
        return items

    def _is_too_small(self, photo: Photo) -> bool:
        """Whether what the lens shows was reduced too far."""
        if self.reduce_to is None or photo.pixels.shape[:2] == photo.size:
            return False
        top, left, bottom, right = find_lens(photo.pixels)
        return min(bottom - top, right - left) < self.reduce_to


class LoadMaskd(MapTransform):
    """Load one mask, or several as channels, from the path(s), as a uint8 tensor (C, H, W) of 0 and 1.

    Values are binarised as :func:`read_mask` says. ``meta`` is that of :class:`LoadPhotod`, named after the
    first file.

    Args:
        keys: items that hold a path, or a list of paths (the five attribute masks in their fixed order).
        attributes: names of the channels. A single path is then taken for one of the official files where
            ``<stem>_attribute_<name>.png`` of all names lie beside it (named itself like one of them, or
            ``<stem>.png``), and else for an index map, in which 0 is background and i + 1 is channel i.
        allow_missing_keys: skip absent keys.
        size_of: key of the loaded photo that the masks belong to, whose size they must have.

    Raises:
        InputError: an item is no path, a file can't be read, the files of one item differ in size among each
            other or from their photo, or an index map has other values.
    """

    def __init__(
        self,
        keys: KeysCollection = "label",
        attributes: Sequence[str] | None = None,
        allow_missing_keys: bool = False,
        size_of: str | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.attributes = None if attributes is None else list(attributes)
        self.size_of = size_of

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            value = items[key]
            several = isinstance(value, Sequence) and not isinstance(value, str)
            paths = [_as_path(path, key) for path in (value if several else [value])]
            if not paths:
                raise InputError(f"'{key}' is an empty list, but at least one mask path is needed.")
            if self.attributes is not None and not several:
                paths = _beside(paths[0], self.attributes)
            if self.attributes is not None and len(paths) == 1:
                masks = _read_index_map(paths[0], len(self.attributes))
                paths = paths * len(masks)
            else:
                masks = [read_mask(path) for path in paths]
            height, width = masks[0].shape
            for path, mask in zip(paths, masks, strict=True):
                if mask.shape != (height, width):
                    raise InputError(
                        f"{path}: this mask is {mask.shape[1]} x {mask.shape[0]} pixels, but {paths[0]} is "
                        f"{width} x {height}; masks of one photo must agree."
                    )
            photo = (
                items[self.size_of].meta if self.size_of is not None else {"original_size": (height, width)}
            )
            if tuple(photo["original_size"]) != (height, width):
                raise InputError(
                    f"{paths[0]}: this mask is {width} x {height} pixels, but its photo "
                    f"{photo['filename_or_obj']} is {photo['original_size'][1]} x {photo['original_size'][0]}."
                )
            tensor = torch.from_numpy(np.stack(masks))
            meta = {
                "filename_or_obj": paths[0],
                "original_size": (height, width),
                "extent": (0.0, 0.0, float(height), float(width)),
            }
            items[key] = MetaTensor(tensor, meta=meta)
        return items


def _beside(path: str, attributes: Sequence[str]) -> list[str]:
    """The official files of the photo that ``path`` is about where they lie beside it, else ``path`` alone."""
    stem = Path(path).stem
    for name in attributes:
        stem = stem.removesuffix(f"_attribute_{name}")
    files = [Path(path).with_name(f"{stem}_attribute_{name}.png") for name in attributes]
    return [str(file) for file in files] if all(file.is_file() for file in files) else [path]


def _read_index_map(path: str, channels: int) -> list[np.ndarray]:
    check_file(Path(path))
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check_pixels(image.width, image.height)
            # the indices themselves, not the colours that a palette gives them
            values = np.array(
                image if image.mode in ("P", "L") or image.mode[0] in "IF" else image.convert("L")
            )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # decoders fail on damaged bytes in every way there is
        raise _unreadable(Path(path), error) from error
    if values.max() > channels:
        raise InputError(
            f"{path}: an index map holds 0 to {channels}, one label per pixel, but this file has "
            f"{int(values.max())}; give an index map, or put the {channels} masks beside each other."
        )
    return [(values == index + 1).astype(np.uint8) for index in range(channels)]


def _as_path(value: Any, key: Hashable) -> str:
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"'{key}' holds a {type(value).__name__}, but the path of a file is needed.")
    return os.fspath(value)


def check_file(path: Path) -> None:
    """Refuse what is no file, or an empty one, before anything waits to read it.

    Raises:
        InputError: there is nothing at ``path``, it can't be reached, is a folder or a pipe, or has 0 bytes.
    """
    try:
        status = path.stat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        what = "there is no such file" if missing else f"the file cannot be reached ({error.strerror})"
        raise InputError(f"{path}: {what}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: this is not a file, but the path of one photo or mask is needed.")
    if status.st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); replace it or leave it out.")


def _check_pixels(width: int, height: int, limit: int | None = None) -> None:
    limit = MAX_PIXELS if limit is None else limit
    if width * height > limit:
        raise InputError(
            f"{width} x {height} pixels are more than the limit of {limit}; reduce the image first."
        )


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, Image.DecompressionBombError):
        return InputError(f"{path}: more pixels than the limit of {MAX_PIXELS}; reduce the image first.")
    if isinstance(error, Image.UnidentifiedImageError):
        return InputError(f"{path}: this is not an image of a known format; replace it or leave it out.")
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
    return InputError(f"{path}: the image is damaged or unsupported ({reason}); replace it or leave it out.")


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in _DICOM_SUFFIXES:
        return True
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, struct.error, KeyError, TypeError, ValueError, OSError):
        return 1  # a damaged EXIF block spoils no pixels


def _reduction(full: tuple[int, int], reduced: tuple[int, int]) -> int:
    return next(
        step
        for step in (1, 2, 4, 8)
        if -(-full[0] // step) == reduced[0] and -(-full[1] // step) == reduced[1]
    )


def _oriented(array: np.ndarray, full: tuple[int, int], step: int, orientation: int) -> Photo:
    """Turn the array upright, and the place of the photo of ``full`` (width, height) in it with it."""
    size = (full[1], full[0])
    if orientation in _SWAPPED:
        array, size = array.swapaxes(0, 1), (full[0], full[1])
    height, width = size[0] / step, size[1] / step
    top = left = 0.0
    if orientation in _MIRRORED:
        array, left = array[:, ::-1], array.shape[1] - width
    if orientation in _UPSIDE_DOWN:
        array, top = array[::-1], array.shape[0] - height
    return Photo(np.ascontiguousarray(array), size, (top, left, top + height, left + width))


def _decode_rgb(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, "white")
        return np.array(Image.alpha_composite(canvas, rgba).convert("RGB"))
    if image.mode.startswith(("I", "F")):
        gray = to_8_bit(np.array(image))
        return np.repeat(gray[..., None], 3, axis=-1)
    return np.array(image.convert("RGB"))


def _decode_gray(image: Image.Image) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        values = np.array(image)
        # 0/1 stays 0/1, however many bits it is written with
        return values.astype(np.uint8) if values.max() <= 1 and values.min() >= 0 else to_8_bit(values)
    return np.array(image.convert("L"))


def _decode_dicom(path: Path, max_pixels: int | None) -> np.ndarray:
    return open_dicom(path, MAX_PIXELS if max_pixels is None else max_pixels).frame()

"""Photos from files: whatever the format, one RGB array the right way up."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from dermaseg_monai.image_files.dicom import open_dicom
from dermaseg_monai.image_files.kinds import DICOM_SUFFIXES, first_bytes, is_dicom, is_heif
from dermaseg_monai.image_files.values import to_8_bit
from dermaseg_monai.utils.errors import InputError

MAX_PIXELS = 178_956_970
"""Largest photo that is opened, in pixels: Pillow's own limit against decompression bombs."""

# Raster formats only: Pillow would hand some of the others (EPS) to an outside program. JPEG includes MPO.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "GIF", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM")
_SWAPPED, _MIRRORED, _UPSIDE_DOWN = {5, 6, 7, 8}, {2, 3, 6, 7}, {3, 4, 7, 8}  # EXIF orientation codes
_PORTABLE = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png"}

Extent = tuple[float, float, float, float]


class Photo(NamedTuple):
    """A decoded photo and where the whole photo lies in it.

    Attributes:
        pixels: uint8 array (H, W, 3), RGB.
        size: (height, width) of the full, oriented photo, which is larger than ``pixels`` after a reduced
            decoding.
        extent: (top, left, bottom, right) of the photo in ``pixels``, in pixels of ``pixels``. Reduced
            decoding rounds sizes up, so the photo may end within the last row or column.
        portable: the usual ending of the file's format where any reader shows these pixels: JPEG and PNG of
            8-bit grey or RGB, not turned by a tag; None for all other files.
        pixels_per_mm: scale of the full photo on the skin, which only DICOM photos tell, see
            :attr:`dermaseg_monai.image_files.dicom.DicomPhoto.pixels_per_mm`; None where it is not known.

    Example:
        >>> photo = Photo(np.zeros((40, 60, 3), np.uint8), size=(80, 120), extent=(0.0, 0.0, 40.0, 60.0))
        >>> photo.pixels.shape
        (40, 60, 3)
    """

    pixels: np.ndarray
    size: tuple[int, int]
    extent: Extent
    portable: str | None = None
    pixels_per_mm: float | None = None


def open_photo(
    path: str | os.PathLike[str], reduce_to: int | None = None, max_pixels: int | None = None
) -> Photo:
    """Decode a photo of any usual format to 8-bit RGB, oriented by its EXIF tag.

    Grayscale is repeated over the three channels; palettes are resolved; transparency is composited on white,
    as viewers show it; CMYK is converted without its ink profile; 16-bit and DICOM values are scaled by the
    number of bits in use (8, 10, 12, 14 or 16; the fewest that hold the largest value where the file does not
    say), other integers and floats by their own minimum and maximum (floats within 0..1 by that range); of an
    animation or several pages or frames the first is taken. DICOM (by suffix ``.dcm``/``.dicom`` or by its
    signature) is read by :mod:`dermaseg_monai.image_files.dicom`, which refuses what header and pixels disagree on.
    HEIC needs the package ``pillow-heif`` (the extra ``heic``).

    Args:
        path: the file.
        reduce_to: decode JPEG files at 1/2, 1/4 or 1/8 of their size, straight from the DCT coefficients,
            with both sides still at least this many pixels. Other formats are always decoded in full.
        max_pixels: refuse larger photos before they are decoded; ``MAX_PIXELS`` by default.

    Returns:
        The photo with its true size.

    Raises:
        InputError: the file is missing, empty, damaged, not a photo, or has more than ``max_pixels`` pixels.

    Example:
        >>> Image.new("RGB", (640, 480)).save("photo.jpg")
        >>> photo = open_photo("photo.jpg", reduce_to=100)
        >>> photo.pixels.shape, photo.size
        ((120, 160, 3), (480, 640))
    """
    path = Path(path)
    if reduce_to is not None and reduce_to < 1:
        raise InputError(f"reduce_to is {reduce_to}, but photos can only be reduced to 1 pixel or more.")
    with reading(path):
        if path.suffix.lower() in DICOM_SUFFIXES or is_dicom(first_bytes(path)):
            photo = open_dicom(path, MAX_PIXELS if max_pixels is None else max_pixels)
            height, width = photo.size
            extent = (0.0, 0.0, float(height), float(width))
            return Photo(photo.frame(), photo.size, extent, pixels_per_mm=photo.pixels_per_mm)
        with opened(path, max_pixels) as image:
            full = image.size
            if reduce_to is not None:
                image.draft(None, (reduce_to, reduce_to))  # does nothing but to JPEG
            step = _reduction(full, image.size)
            image.load()  # before the orientation, whose reading would swallow what is wrong with a PNG's pixels
            orientation = orientation_of(image)
            plain = image.mode in ("L", "RGB") and orientation == 1 and not image.has_transparency_data
            portable = _PORTABLE.get(image.format or "") if plain else None
            return _oriented(_decode_rgb(image), full, step, orientation)._replace(portable=portable)


def read_photo(path: str | os.PathLike[str], reduce_to: int | None = None) -> np.ndarray:
    """Decode a photo of any usual format to a uint8 array (H, W, 3), RGB, oriented.

    Args:
        path: the file.
        reduce_to: see :func:`open_photo`.

    Returns:
        The pixels alone of :func:`open_photo`.

    Raises:
        InputError: see :func:`open_photo`.

    Example:
        >>> Image.new("L", (60, 40)).save("photo.png")
        >>> read_photo("photo.png").shape
        (40, 60, 3)
    """
    return open_photo(path, reduce_to).pixels


def check_file(path: Path) -> None:
    """Refuse what is no file, or an empty one, before anything waits to read it.

    Raises:
        InputError: there is nothing at ``path``, it cannot be reached, is a folder or a pipe, or has 0 bytes.
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


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one sentence, led in by the path, why an image cannot be read.

    Raises:
        InputError: there is no such file, or decoding it in the block raised any error.
    """
    check_file(path)
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # decoders fail on damaged bytes in every way there is
        raise InputError(f"{path}: {_unreadable(error, first_bytes(path))}") from error


@contextmanager
def opened(path: Path, max_pixels: int | None = None) -> Iterator[Image.Image]:
    """Open a file that Pillow reads, of the formats that are let through, and check how large it is."""
    # by an open file: from a name Pillow maps grey TIFF files into memory, and scrambles those with an orientation
    with path.open("rb") as stream, Image.open(stream, formats=_formats()) as image:
        check_pixels(image.width, image.height, max_pixels)
        yield image


def check_pixels(width: int, height: int, limit: int | None = None) -> None:
    """Refuse too large an image before it is decoded.

    Raises:
        InputError: it has more pixels than ``limit``, or ``MAX_PIXELS``.
    """
    limit = MAX_PIXELS if limit is None else limit
    if width * height > limit:
        raise InputError(
            f"{width} x {height} pixels are more than the limit of {limit}; reduce the image first."
        )


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 where there is none, or a damaged one."""
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, struct.error, KeyError, TypeError, ValueError, OSError):
        return 1  # a damaged EXIF block spoils no pixels
    return orientation if 1 <= orientation <= 8 else 1


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this installation reads."""
    Image.init()
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    return tuple(form for form in _FORMATS if form in Image.OPEN)


def _unreadable(error: Exception, start: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more pixels than the limit of {MAX_PIXELS}; reduce the image first."
    if isinstance(error, Image.UnidentifiedImageError):
        if is_heif(start) and "HEIF" not in _formats():
            return 'HEIC photos are read with pip install "dermaseg-monai[heic]"; or save it as JPEG.'
        return "this is not an image of a known format; replace it or leave it out."
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
    return f"the image is damaged or unsupported ({reason}); replace it or leave it out."


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
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))

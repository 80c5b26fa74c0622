"""Pixels of DICOM photos, as 8-bit RGB, where header and pixels agree; nothing is guessed where they do not."""

from __future__ import annotations

import functools
import io
import logging
import math
import os
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dermaseg_monai.image_files.codestream import Codestream, read_codestream
from dermaseg_monai.image_files.values import to_8_bit
from dermaseg_monai.utils.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FRAMES = 1_000
"""Most frames of one object that are read."""

MAX_INFLATED = 1 << 30
"""Most bytes that a deflated object may grow to."""

_SQUARE = 1e-3  # sides of a pixel that differ by less count as the same
_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG_8_BIT = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_CODESTREAMS = "1.2.840.10008.1.2.4."
_RGB, _YBR, _YBR_OF_JPEG_2000 = {"RGB"}, {"YBR_FULL", "YBR_FULL_422"}, {"YBR_ICT", "YBR_RCT"}
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_SAMPLES = dict.fromkeys(_RGB | _YBR | _YBR_OF_JPEG_2000, 3) | dict.fromkeys({*_GREY, "PALETTE COLOR"}, 1)


@dataclass(frozen=True)
class DicomPhoto:
    """A DICOM object whose header describes a photo.

    Attributes:
        dataset: the whole object, undecoded.
        frames: how many frames it has, at least 1.
        size: (height, width) of each.
    """

    dataset: Dataset
    frames: int
    size: tuple[int, int]

    @property
    def pixels_per_mm(self) -> float | None:
        """Pixels per mm of skin, where the spacing is calibrated and the pixels are square; None otherwise."""
        spacing = pixel_spacing(self.dataset)
        return 1 / spacing[0] if spacing and math.isclose(*spacing, rel_tol=_SQUARE) else None

    def frame(self, index: int = 0) -> np.ndarray:
        """Decode one frame.

        Grey is repeated over three channels, MONOCHROME1 shown as it is meant, palettes are resolved, YBR is
        converted to RGB; more than 8 bits are scaled by the bits stored, or by the values' range where they are
        signed or rescaled. Windows, overlays, ICC profiles and private elements are ignored.

        Args:
            index: from 0.

        Returns:
            uint8 array ``(H, W, 3)``, RGB.

        Raises:
            InputError: header and pixels disagree, the pixels are damaged, or no decoder for them is installed.
        """
        header, syntax = self.dataset, str(self.dataset.file_meta.TransferSyntaxUID)
        interpretation = header.PhotometricInterpretation
        if syntax.startswith(_CODESTREAMS):
            stream = _stream(header, index, self.frames)
            codestream = read_codestream(stream)
            _check_codestream(header, codestream)
            if syntax in _JPEG_8_BIT and codestream.precision == 8:
                return _decode_jpeg(stream, codestream, interpretation)
        values, interpretation = _decode(header, syntax, index)
        return _as_rgb(header, values, interpretation)


def open_dicom(path: str | os.PathLike[str], max_pixels: int) -> DicomPhoto:
    """Read a DICOM photo, and check what its header says about its pixels.

    Args:
        path: a DICOM file (PS3.10).
        max_pixels: of a frame; more are refused before anything is decoded.

    Returns:
        The photo, its pixels not yet decoded.

    Raises:
        InputError: see :func:`read_dicom` and :func:`check_photo`.
    """
    return check_photo(read_dicom(path), max_pixels)


def read_dicom(path: str | os.PathLike[str]) -> Dataset:
    """Read a DICOM object, without what is private or cannot be read in it.

    Args:
        path: a DICOM file (PS3.10).

    Returns:
        The object; every element of it has been parsed.

    Raises:
        InputError: the file is no DICOM file, or damaged.
    """
    pydicom = _pydicom()
    _check_inflated(path)
    try:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID.is_encapsulated  # noqa: B018 (raises where it is none)
        for tag in list(dataset.keys()):
            if tag.is_private or not _is_readable(dataset, tag):
                del dataset[tag]
    except Exception as error:  # damaged bytes fail in every way there is, and what is said may quote them
        raise InputError(
            f"this is no DICOM file, or a damaged one ({type(error).__name__}); replace it or leave it out."
        ) from None
    return dataset


def _is_readable(dataset: Dataset, tag: int) -> bool:
    # pydicom parses an element when it is first looked at
    try:
        value = dataset[tag].value
        for item in value if dataset[tag].VR == "SQ" else ():
            for _ in item.iterall():
                pass
    except Exception:
        return False
    return True


def pixel_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Distance of rows and of columns in mm, where the object has it calibrated (0028,0030).

    The spacing at a detector (0018,1164) and the nominal one of a print or scan are no lengths on the skin, and not
    taken.

    Args:
        dataset: a DICOM object, or its header.

    Returns:
        Both, above 0; None where there is none, or what stands there is no spacing.
    """
    value = dataset.get("PixelSpacing")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    if value is None and shared and "PixelMeasuresSequence" in shared[0]:
        value = shared[0].PixelMeasuresSequence[0].get("PixelSpacing")
    try:
        rows, columns = (float(part) for part in value)
    except (TypeError, ValueError):
        return None
    return (rows, columns) if 0 < rows < math.inf and 0 < columns < math.inf else None


def check_photo(dataset: Dataset, max_pixels: int) -> DicomPhoto:
    """Check what the header of a DICOM object says about its pixels.

    Args:
        dataset: as read from a file.
        max_pixels: of a frame.

    Returns:
        The object as a photo.

    Raises:
        InputError: it holds no pixels, or pixels that are no photo, or too many.
    """
    if "PixelData" not in dataset:
        raise InputError("this DICOM object holds no pixels, so it is no photo; leave it out.")
    rows, columns = _number(dataset, "Rows"), _number(dataset, "Columns")
    frames = _number(dataset, "NumberOfFrames", 1)
    samples, allocated, stored = (
        _number(dataset, name) for name in ("SamplesPerPixel", "BitsAllocated", "BitsStored")
    )
    if min(rows, columns, frames) < 1:
        raise InputError(f"its header says {columns} x {rows} pixels and {frames} frames; mend it.")
    if rows * columns > max_pixels:
        raise InputError(
            f"{columns} x {rows} pixels are more than the limit of {max_pixels}; reduce the image first."
        )
    if frames > MAX_FRAMES:
        raise InputError(f"{frames} frames are more than the limit of {MAX_FRAMES}; divide the object first.")
    interpretation = str(dataset.get("PhotometricInterpretation", ""))
    if interpretation not in _SAMPLES:
        raise InputError(
            f"the photometric interpretation {interpretation[:16]!r} is not known; the ones that are: "
            f"{', '.join(sorted(_SAMPLES))}."
        )
    if samples != _SAMPLES[interpretation]:
        raise InputError(
            f"header and pixels disagree: {interpretation} has {_SAMPLES[interpretation]} samples a pixel, but "
            f"the header says {samples}; mend it."
        )
    if allocated not in (8, 16) or not 2 <= stored <= allocated:
        raise InputError(
            f"pixels of {stored} bits in {allocated} are not read, only 2 to 16 bits in 8 or 16; convert them."
        )
    photo = DicomPhoto(dataset, frames, (rows, columns))
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_length(photo, samples * allocated // 8, interpretation)
    return photo


@functools.cache
def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError:
        raise InputError(
            'DICOM files are read by pydicom 3, which is not installed; run pip install "dermaseg-monai[dicom]".'
        ) from None
    # what a value should have looked like is said with the value, which may be a patient's name
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom


def _number(dataset: Dataset, name: str, default: int = 0) -> int:
    try:
        return int(dataset.get(name, default) or default)
    except (TypeError, ValueError):
        raise InputError(f"its header has no number as {name}; mend it.") from None


def _check_inflated(path: str | os.PathLike[str]) -> None:
    """Refuse a deflated object that would fill the memory, which pydicom inflates in one go."""
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(path)
        begin = 144 + int(meta.FileMetaInformationGroupLength)  # preamble, signature, and that element itself
    except Exception:
        return  # reading it all says what is wrong
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        return
    with open(path, "rb") as stream:
        stream.seek(begin)
        inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while block := stream.read(1 << 16):
            while block:
                size += len(inflate.decompress(block, 1 << 20))
                block = inflate.unconsumed_tail
                if size > MAX_INFLATED:
                    raise InputError(f"inflated, it is more than {MAX_INFLATED} bytes; convert it first.")


def _check_length(photo: DicomPhoto, pixel_bytes: int, interpretation: str) -> None:
    expected = photo.frames * photo.size[0] * photo.size[1] * pixel_bytes
    if interpretation == "YBR_FULL_422":  # two pixels share their blue and red: PS3.3 C.7.6.3.1.2
        expected = expected * 2 // 3
    actual = len(photo.dataset.PixelData)
    if actual not in (expected, expected + expected % 2):
        raise InputError(
            f"header and pixels disagree: {photo.frames} frames of {photo.size[1]} x {photo.size[0]} pixels in "
            f"{interpretation} are {expected} bytes, but there are {actual}; mend the header."
        )


def _stream(header: Dataset, index: int, frames: int) -> bytes:
    from pydicom.encaps import get_frame

    try:
        return get_frame(header.PixelData, index, number_of_frames=frames)
    except Exception as error:
        raise _damaged(error) from None


def _check_codestream(header: Dataset, codestream: Codestream) -> None:
    stated = (header.Columns, header.Rows, header.SamplesPerPixel)
    actual = (codestream.width, codestream.height, codestream.components)
    if stated != actual:
        raise InputError(
            "header and pixels disagree: the header says {} x {} pixels of {} samples, the compressed image {} x {} "
            "of {}; mend the header.".format(*stated, *actual)
        )
    if codestream.precision > header.BitsAllocated:
        raise InputError(
            f"header and pixels disagree: the compressed image has {codestream.precision} bits a sample, which do "
            f"not go into {header.BitsAllocated}; mend the header."
        )
    interpretation = header.PhotometricInterpretation
    allowed = {
        "RGB": _RGB,
        "YBR": _YBR,
        "RGB by JPEG 2000": _RGB | _YBR_OF_JPEG_2000,
        "as stored": _RGB | _YBR,
    }
    if (
        codestream.components == 3
        and codestream.colours
        and interpretation not in allowed[codestream.colours]
    ):
        raise InputError(
            f"header and pixels disagree: the header says {interpretation}, the compressed image that its colours "
            f"are {codestream.colours}; mend the header."
        )


def _decode_jpeg(stream: bytes, codestream: Codestream, interpretation: str) -> np.ndarray:
    try:
        image: Image.Image = Image.open(io.BytesIO(stream), formats=("JPEG",))
        if interpretation == "RGB" and codestream.colours is None:
            # nothing in the stream says that it is not YBR, which Pillow would take it for
            image.draft("YCbCr", image.size)
        elif codestream.components == 3:
            image = image.convert("RGB")
        pixels = np.array(image)
    except Exception as error:
        raise _damaged(error) from None
    if codestream.components == 3:
        return pixels
    return np.repeat((255 - pixels if interpretation == "MONOCHROME1" else pixels)[..., None], 3, axis=-1)


def _decode(header: Dataset, syntax: str, index: int) -> tuple[np.ndarray, str]:
    """One frame as stored, and what its values mean."""
    from pydicom.pixels import get_decoder

    try:
        decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    except NotImplementedError:
        raise InputError(f"the transfer syntax {syntax} is not read; convert the object first.") from None
    if not decoder.is_available:
        raise InputError(
            f"no decoder for the transfer syntax {decoder.UID.name} is installed; run "
            'pip install "dermaseg-monai[dicom]".'
        )
    try:
        # unused bits are not blanked: that would hide a header that says too few
        options: Any = {}
        if not (decoder.is_encapsulated or header.get("PixelRepresentation")):
            options["correct_unused_bits"] = False
        values, _ = decoder.as_array(header, index=index, raw=True, **options)
    except Exception as error:
        raise _damaged(error) from None
    # decoders of JPEG 2000 hand out RGB; other colours are what the header says, which the codestream agrees with
    interpretation = str(header.PhotometricInterpretation)
    return values, "RGB" if interpretation in _YBR_OF_JPEG_2000 else interpretation


def _as_rgb(header: Dataset, values: np.ndarray, interpretation: str) -> np.ndarray:
    from pydicom.pixels import apply_color_lut, convert_color_space

    stored = int(header.BitsStored)
    if values.dtype.kind == "u" and int(values.max()) >= 1 << stored:
        raise InputError(
            f"header and pixels disagree: the header says {stored} bits, but a value is {int(values.max())}; mend it."
        )
    if interpretation == "PALETTE COLOR":
        try:
            # what an entry of the table is, its descriptor says, not the pixel
            bits = int(header.RedPaletteColorLookupTableDescriptor[2])
            return np.ascontiguousarray(to_8_bit(apply_color_lut(values, header)[..., :3], bits))
        except Exception as error:
            raise _damaged(error) from None
    if interpretation in _GREY:
        slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
        rescaled = (slope, intercept) != (1, 0)
        grey = to_8_bit(
            values * slope + intercept if rescaled else values,
            None if rescaled or values.dtype.kind != "u" else stored,
        )
        return np.repeat((255 - grey if interpretation == "MONOCHROME1" else grey)[..., None], 3, axis=-1)
    pixels = to_8_bit(values, stored if values.dtype.kind == "u" else None)
    if interpretation in _YBR:
        pixels = convert_color_space(pixels, "YBR_FULL", "RGB")
    return np.ascontiguousarray(pixels)


def _damaged(error: Exception) -> InputError:
    # the decoder's own words are left out: they may quote the header
    return InputError(
        f"the pixels cannot be decoded ({type(error).__name__}); replace the file or leave it out."
    )

"""Headers of compressed images (JPEG, JPEG-LS and JPEG 2000), read without decoding."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dermaseg_monai.utils.errors import InputError

_JPEG_START, _JPEG_LS_FRAME = 0xD8, 0xF7
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TRANSFORMED = {0xC0, 0xC1, 0xC2}  # lossless images are coded as they are, whatever their markers say
_JPEG_SCAN = 0xDA
_J2K_START, _J2K_SIZE, _J2K_CODING, _J2K_TILE = 0x4F, 0x51, 0x52, 0x90
_ALONE = {0x01, *range(0xD0, 0xD9)}
_JPEG_2000_BOX = b"\0\0\0\x0cjP  "


@dataclass(frozen=True)
class Codestream:
    """The header of a compressed image.

    Attributes:
        width: pixels.
        height: pixels.
        components: samples a pixel.
        precision: bits a sample.
        colours: what three components are by the stream itself: "RGB", "YBR", "RGB by JPEG 2000" (transformed and
            back), "as stored" (JPEG 2000 without a transform), or None where it does not say.
    """

    width: int
    height: int
    components: int
    precision: int
    colours: str | None


def read_codestream(stream: bytes) -> Codestream:
    """Read the header of a compressed image.

    Args:
        stream: a JPEG, JPEG-LS or JPEG 2000 (also high throughput) image.

    Returns:
        Its size and colours.

    Raises:
        InputError: it is none of these, or cut short.
    """
    try:
        begin = stream.find(b"\xff\x4f\xff\x51") if stream.startswith(_JPEG_2000_BOX) else 0
        if begin >= 0 and stream[begin : begin + 2] == b"\xff\x4f":
            return _jpeg_2000(stream, begin)
        if stream[:2] == b"\xff\xd8":
            return _jpeg(stream)
    except (struct.error, IndexError):
        pass
    raise InputError("the compressed image has no header that can be read; replace the file or leave it out.")


def _jpeg(stream: bytes) -> Codestream:
    """ITU-T T.81 Annex B; the colours by JFIF (T.871), Adobe's APP14 and component letters, as libjpeg reads them."""
    jfif, adobe, position = False, None, 2
    while True:
        while stream[position + 1] == 0xFF:  # fill bytes
            position += 1
        if stream[position] != 0xFF:
            raise IndexError
        marker = stream[position + 1]
        position += 2
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", stream, position)
        body = stream[position + 2 : position + length]
        position += length
        if marker == 0xE0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker in _JPEG_FRAMES or marker == _JPEG_LS_FRAME:
            precision, height, width, components = struct.unpack_from(">BHHB", body)
            names = body[6 : 6 + 3 * components : 3]
            colours = None
            if components == 3 and marker in _TRANSFORMED:
                if jfif or adobe == 1:
                    colours = "YBR"
                elif adobe == 0 or names in (b"RGB", b"rgb"):
                    colours = "RGB"
            return Codestream(width, height, components, precision, colours)
        elif marker == _JPEG_SCAN:
            raise IndexError


def _jpeg_2000(stream: bytes, position: int) -> Codestream:
    """ISO/IEC 15444-1 Annex A: SIZ for the size, COD for whether the components were transformed."""
    size, transformed = None, False
    position += 2
    while stream[position + 1] != _J2K_TILE:
        marker = stream[position + 1]
        (length,) = struct.unpack_from(">H", stream, position + 2)
        if stream[position] != 0xFF or length < 2:
            raise IndexError
        if marker == _J2K_SIZE:
            right, bottom, left, top = struct.unpack_from(">4I", stream, position + 6)
            (components,) = struct.unpack_from(">H", stream, position + 38)
            size = (right - left, bottom - top, components, (stream[position + 40] & 0x7F) + 1)
        elif marker == _J2K_CODING:
            transformed = bool(stream[position + 8])
        position += 2 + length
    if size is None:
        raise IndexError
    return Codestream(*size, "RGB by JPEG 2000" if transformed else "as stored")

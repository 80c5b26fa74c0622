"""Pixel values of any depth as 8 bits."""

from __future__ import annotations

import numpy as np

from dermaseg_monai.utils.errors import InputError


def to_8_bit(values: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Scale values to 0..255.

    Args:
        values: integers or floats of any shape.
        bits: how many bits are in use, from 0 up; None for the fewest of 8, 10, 12, 14 and 16 that hold unsigned
            values, the range 0..1 for floats within it, and otherwise the values' own minimum and maximum.

    Returns:
        uint8, of the same shape.

    Raises:
        InputError: a value is not finite.
    """
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise InputError("some values of this image are not finite; write it again with numbers alone.")
    if bits is None and values.dtype.kind in "iu" and low >= 0 and high < 2**16:
        bits = next(bits for bits in (8, 10, 12, 14, 16) if high < 2**bits)
    if bits == 8:
        return values.astype(np.uint8)
    scaled = values.astype(np.float32)
    if bits is not None:
        low, high = 0, 2**bits - 1
    elif values.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0, 1
    span = max(float(high) - float(low), 1e-12)
    return np.clip(np.rint((scaled - low) * (255 / span)), 0, 255).astype(np.uint8)

"""Rendering of a synthetic dermoscopic photo and its masks from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dermaseg_monai.datasets.phantoms.artefacts import add_artefacts, apply_view, choose_view
from dermaseg_monai.datasets.phantoms.canvas import Canvas, Field, blend
from dermaseg_monai.datasets.phantoms.lesion import Lesion, grow_lesion
from dermaseg_monai.datasets.phantoms.skin import BLOOD, MELANIN, absorb, paint_skin
from dermaseg_monai.datasets.phantoms.structures import draw_structures
from dermaseg_monai.utils.errors import InputError

SMALLEST_SIDE = 32
"""Below this many pixels the structures cannot be told apart."""


@dataclass(frozen=True)
class Phantom:
    """A synthetic photo and what is to be seen in it.

    Attributes:
        image: RGB uint8, (H, W, 3).
        lesion: the lesion, bool, (H, W): one region without holes.
        attributes: the five attributes in the official order, bool, (5, H, W), each inside the lesion.
    """

    image: NDArray[np.uint8]
    lesion: NDArray[np.bool_]
    attributes: NDArray[np.bool_]


def render_phantom(seed: int, size: tuple[int, int] = (192, 256)) -> Phantom:
    """Draw a synthetic dermoscopic photo: skin, a lesion, its structures, and what gets in the way.

    Nothing but ``seed`` and ``size`` matters: the same two give the same phantom. At another size of the same
    aspect ratio, the scene is the same but for its finest texture.

    Args:
        seed: 0 or more.
        size: (height, width) in pixels, each at least 32.

    Returns:
        The phantom.

    Raises:
        InputError: the seed is negative or the size too small.
    """
    if seed < 0:
        raise InputError(f"the seed of a phantom is {seed}; give 0 or more.")
    height, width = size
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"a phantom of {height} x {width} is too small; give at least {SMALLEST_SIDE} each way."
        )
    canvas = Canvas(height, width)
    # every part has its own stream, so that a change in one leaves the others as they were
    on_view, on_skin, on_lesion, on_structures, on_artefacts, on_light, on_sensor = np.random.default_rng(
        seed
    ).spawn(7)

    view = choose_view(canvas, on_view)
    image = paint_skin(canvas, on_skin)
    lesion = grow_lesion(canvas, on_lesion, view.open)
    attributes, white = draw_structures(canvas, on_structures, lesion)
    _tint(image, lesion, white)
    add_artefacts(canvas, on_artefacts, image)
    apply_view(canvas, on_light, image, view)
    grain = on_sensor.standard_normal((height, width), dtype=np.float32)
    image += grain * np.float32(on_sensor.uniform(0.002, 0.012))
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Phantom(np.ascontiguousarray(pixels.transpose(1, 2, 0)), lesion.mask, attributes)


def _tint(image: Field, lesion: Lesion, white: Field) -> None:
    """Lay the lesion's pigments, its veil and its cysts over the skin, in place."""
    absorb(image, lesion.melanin * lesion.cover, MELANIN)
    absorb(image, lesion.blood * lesion.cover, BLOOD)
    blend(image, (0.47, 0.50, 0.60), lesion.veil * lesion.cover)
    blend(image, (0.95, 0.90, 0.78), white * lesion.mask)

"""Phantoms as files, laid out and named like the official ISIC 2018 training set."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dermaseg_monai.datasets.isic2018 import ARCHIVES, ATTRIBUTE_SUFFIXES, LESION_SUFFIX
from dermaseg_monai.datasets.phantoms.render import SMALLEST_SIDE, render_phantom
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_path, write_jpeg
from dermaseg_monai.utils.threads import bounded_map

FIRST_ID = 9_000_000
"""Number of the first phantom; no official image has one as high."""

_ASPECTS = (3 / 4, 3 / 4, 3 / 4, 2 / 3, 0.7, 4 / 5)
_QUALITY = 92
_WRITERS = 4


def write_phantoms(output: str | os.PathLike[str], count: int, size: int = 256, seed: int = 0) -> None:
    """Write a synthetic set: photos with lesion and attribute masks, in the official layout.

    The same arguments write the same files again, and a larger ``count`` only adds to them. Every file is
    written in one step.

    Args:
        output: folder that takes ``ISIC2018_Task1-2_Training_Input`` and the two ground-truth folders.
        count: how many phantoms, from ``ISIC_9000000`` on.
        size: long side in pixels; the aspect ratio varies about 4:3.
        seed: another seed gives another set.

    Raises:
        InputError: an argument is out of range.
    """
    highest = 10_000_000 - FIRST_ID
    if not 1 <= count <= highest:
        raise InputError(f"the number of phantoms is {count}; give 1 to {highest}.")
    smallest = int(np.ceil(SMALLEST_SIDE / min(_ASPECTS)))
    if size < smallest:
        raise InputError(f"the long side of a phantom is {size} pixels; give at least {smallest}.")
    if seed < 0:
        raise InputError(f"the seed of the phantoms is {seed}; give 0 or more.")
    photos, lesions, attributes = (
        Path(output) / ARCHIVES["training", kind].folder for kind in ("image", "lesion", "attribute")
    )

    def write(index: int) -> None:
        phantom_seed = seed * highest + index
        aspect = _ASPECTS[np.random.default_rng(phantom_seed).integers(len(_ASPECTS))]
        phantom = render_phantom(phantom_seed, (round(size * aspect), size))
        name = f"ISIC_{FIRST_ID + index:07d}"
        write_jpeg(photos / f"{name}.jpg", Image.fromarray(phantom.image), quality=_QUALITY)
        _write_mask(lesions / f"{name}{LESION_SUFFIX}", phantom.lesion)
        for suffix, mask in zip(ATTRIBUTE_SUFFIXES.values(), phantom.attributes, strict=True):
            _write_mask(attributes / f"{name}{suffix}", mask)

    # a disk that takes its time over one phantom's files does not hold up the drawing of the next
    with ThreadPoolExecutor(_WRITERS) as pool:
        written = bounded_map(pool, write, range(count), ahead=2 * _WRITERS)
        for _ in tqdm(written, total=count, desc="phantoms", unit="image", disable=None):
            pass


def _write_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(mask.astype(np.uint8) * 255).save(temporary)

"""Features that make a photo hard: its lesion's size and place, hair, ruler, dark border, blur, skin tone, contrast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dermaseg_monai.data import read_labels
from dermaseg_monai.evaluation.ruler import has_ruler
from dermaseg_monai.image_files import read_photo
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.regions import Regions

SIDE = 384
"""Pixels of a photo's long side to which larger photos are reduced before they are looked at."""

_BORDER_LEVEL = 30  # brightest value of the lens's border, as find_lens takes it
_HAIR_WIDTH = 0.025  # widest hair, as a share of the long side
_HAIR_LENGTH = 0.1  # shortest piece of hair, as a share of the long side
_HAIR_CONTRAST = 16  # grey levels by which hair is darker than what is beside it
_GAP, _RING = 0.02, 0.08  # of the diagonal: the skin looked at begins and ends so far from the lesion
_LEAST = 0.005  # of the photo: less skin or lesion than this has no colour to speak of
_GREY = np.array([0.299, 0.587, 0.114])


def photo_features(item: dict[str, Any]) -> dict[str, Any]:
    """Read a photo and its true mask, and describe them.

    Args:
        item: of :func:`dermaseg_monai.data.load_datalist`; of several masks the union counts.

    Returns:
        ``id`` and what :func:`describe` says.

    Raises:
        InputError: a file cannot be read.
    """
    mask = read_labels(item).max(axis=0)
    return {"id": item["id"]} | describe(read_photo(item["image"], reduce_to=SIDE), mask)


def describe(photo: NDArray[np.uint8], mask: NDArray[Any]) -> dict[str, Any]:
    """Describe a photo and its lesion.

    Everything but ``regions``, ``lesion_share`` and ``edge_share`` is measured on the photo reduced to ``SIDE`` pixels,
    so that photos of different sizes compare; the blur that a reduction hides is not seen.

    Args:
        photo: uint8 ``(H, W, 3)``, RGB.
        mask: the lesion, 0 and not 0, of any size with the photo's aspect.

    Returns:
        By name:

        - ``lesion_share``: lesion pixels over all pixels, 0 to 1.
        - ``edge_share``: share of the pixels of the photo's edge that are lesion, 0 to 1.
        - ``regions``: number of the lesion's regions (8-connected).
        - ``hair_share``: share of the skin beside the lesion that is covered by dark hair, 0 to 1: thin dark
          structures, by a black-hat with a square, that are long. Beside the lesion, since a pigment network looks the
          same inside it. Light hair is not seen, and the marks of a ruler may be taken for hair.
        - ``ruler``: whether a ruler's marks lie beside the lesion, see
          :func:`dermaseg_monai.evaluation.ruler.has_ruler` for what it misses.
        - ``border_share``: share of the photo that is the dark border of the lens, 0 to 1.
        - ``sharpness``: variance of the Laplacian of the grey photo within the lens, grey levels squared. It is low in
          a blurred photo, but also in a sharp one of smooth skin.
        - ``skin_tone``: individual typology angle of the skin around the lesion, in degrees: from below -30 (dark) to
          above 55 (very light). On dermoscopy it also depends on the lamp, its polarisation, and the camera's white
          balance, and on redness, so it orders the photos of one device and says little about a person.
        - ``contrast``: distance of the lesion's colour from that of the skin around it, CIE76 in L*a*b* (medians).

        What cannot be measured (skin around a lesion that fills the photo) is NaN.

    Raises:
        InputError: photo or mask have other shapes.

    References:
        Lee, Ng, Gallagher, Coldman and McLean. DullRazor: a software approach to hair removal from images. Computers in
        Biology and Medicine 27(6), 1997 (hair as what a morphological closing fills).
        Pech-Pacheco, Cristobal, Chamorro-Martinez and Fernandez-Valdivia. Diatom autofocusing in brightfield
        microscopy. International Conference on Pattern Recognition, 2000 (variance of the Laplacian).
        Chardon, Cretois and Hourseau. Skin colour typology and suntanning pathways. International Journal of Cosmetic
        Science 13(4), 1991 (individual typology angle).
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or mask.ndim != 2 or not mask.size:
        raise InputError(
            f"photo and mask have shapes {photo.shape} and {mask.shape}; give (H, W, 3) and (H, W)."
        )
    full = mask != 0
    edge = np.concatenate([full[0], full[-1], full[1:-1, 0], full[1:-1, -1]])
    pixels, lesion = _reduced(photo, full)
    border = _dark_border(pixels)
    thin = _thin(pixels)
    hair = _hair(thin)
    distance = ndimage.distance_transform_edt(~lesion) if lesion.any() else np.full(lesion.shape, math.inf)
    diagonal = math.hypot(*lesion.shape)
    beside = (distance > _GAP * diagonal) & ~border
    around = beside & (distance <= _RING * diagonal) & ~hair
    skin, inside = (_median_lab(pixels[region]) for region in (around, lesion & ~border))
    laplacian = ndimage.laplace(pixels @ _GREY)
    # the step from the border to the skin is not sharpness
    within = ~ndimage.binary_dilation(border, iterations=2)
    return {
        "lesion_share": float(full.mean()),
        "edge_share": float(edge.mean()),
        "regions": len(Regions(full, diagonal=True).areas),
        "hair_share": float(hair[beside].mean()) if beside.mean() > _LEAST else math.nan,
        "ruler": has_ruler(np.where(ndimage.binary_dilation(lesion, iterations=3), 0.0, thin)),
        "border_share": float(border.mean()),
        "sharpness": float(laplacian[within].var()) if within.any() else math.nan,
        "skin_tone": _typology_angle(skin),
        "contrast": float(np.linalg.norm(skin - inside)),
    }


def lab(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """sRGB to CIE L*a*b* under D65.

    Args:
        rgb: ``(..., 3)``, 0 to 255.

    Returns:
        ``(..., 3)``: L* from 0 to 100, a* and b*.
    """
    value = np.asarray(rgb, dtype=np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ.T / _XYZ.sum(axis=1)
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ, rows X, Y, Z; their sums are the white point."""


def _typology_angle(colour: Sequence[float] | NDArray[np.float64]) -> float:
    lightness, _, yellow = colour
    return math.degrees(math.atan2(lightness - 50, yellow)) if yellow > 0 else math.nan


def _median_lab(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The median colour of pixels ``(N, 3)``; NaN where there are too few."""
    return np.median(lab(pixels), axis=0) if len(pixels) > 16 else np.full(3, math.nan)


def _reduced(
    photo: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    scale = min(1.0, SIDE / max(photo.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
    pixels = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BOX))
    grey = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    return pixels, np.asarray(grey.resize((width, height), Image.Resampling.BOX)) >= 128


def _dark_border(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is black and reaches the photo's edge, bool ``(H, W)``."""
    regions = Regions(pixels.max(axis=2) <= _BORDER_LEVEL, diagonal=False)
    border = np.zeros(pixels.shape[:2], dtype=bool)
    regions.paint(regions.at_border(), border, True)
    return border


def _thin(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """By how many grey levels thin structures are darker than what is beside them, ``(H, W)``."""
    grey = pixels @ _GREY
    size = 2 * round(_HAIR_WIDTH * max(grey.shape) / 2) + 1
    return ndimage.black_tophat(grey, size=(size, size))


def _hair(thin: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Long thin dark structures, bool ``(H, W)``."""
    long = max(thin.shape)
    labels, _ = ndimage.label(thin > _HAIR_CONTRAST, structure=np.ones((3, 3)))
    keep = [False] + [
        math.hypot(rows.stop - rows.start, columns.stop - columns.start) >= _HAIR_LENGTH * long
        for rows, columns in ndimage.find_objects(labels)
    ]
    return np.array(keep)[labels]

"""Size and shape of a lesion, from its mask: the A, B and D of the ABCD rule that an outline can tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.optimize import minimize_scalar
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from torch import Tensor

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.regions import bounding_box, fill_holes, keep_largest

_GRID_DIAMETER = 160.0  # pixels: larger lesions are reduced to it, so that resolution changes no shape index
_SMOOTHING = 1.6  # pixels of that grid, 1 % of the diameter: the steps of a pixel grid are no irregularity
_SEARCH_STEP = 3.0  # degrees between the axes tried before the best is refined


@dataclass(frozen=True)
class Measurements:
    """What a mask tells about a lesion.

    ``area_share`` and ``area_px`` count every predicted pixel. The others are of the largest region (8-connected,
    holes filled) and None where the mask is empty.

    Attributes:
        area_share: lesion pixels over all pixels, 0 to 1.
        area_px: lesion pixels.
        asymmetry: 0 (mirror-symmetric about two perpendicular axes) to 1, see :func:`asymmetry`.
        border_irregularity: 1 for a disc, more the longer the border, see :func:`border_irregularity`.
        diameter_px: greatest diameter in pixels, see :func:`greatest_diameter`.
        touches_edge: whether the region reaches the photo's edge, so that its true extent is unknown.
    """

    area_share: float
    area_px: int
    asymmetry: float | None
    border_irregularity: float | None
    diameter_px: float | None
    touches_edge: bool

    def diameter_mm(self, pixels_per_mm: float) -> float | None:
        """The greatest diameter in mm, or None where there is no lesion.

        Raises:
            InputError: the scale is not a positive number.
        """
        scale = checked_scale(pixels_per_mm)
        return None if self.diameter_px is None else self.diameter_px / scale

    def area_mm2(self, pixels_per_mm: float) -> float:
        """The area in square mm.

        Raises:
            InputError: the scale is not a positive number.
        """
        return self.area_px / checked_scale(pixels_per_mm) ** 2


def measure_lesion(mask: NDArray) -> Measurements:
    """Measure the lesion in a mask.

    Args:
        mask: 0 and not 0, ``(H, W)``.

    Returns:
        Its area, and the shape of its largest region.

    Raises:
        InputError: the mask has other dimensions, or no pixel.
    """
    if mask.ndim != 2 or not mask.size:
        raise InputError(f"a mask has shape {mask.shape}; it must be (H, W) with at least one pixel.")
    lesion = mask != 0
    area = int(np.count_nonzero(lesion))
    if not area:
        return Measurements(0.0, 0, None, None, None, False)
    region = lesion[bounding_box(lesion)]  # a view: what is done to it is done to the lesion
    keep_largest(region)
    fill_holes(region)
    edges = (lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1])
    region = np.ascontiguousarray(region[bounding_box(region)])
    coverage = coverage_grid(region)
    return Measurements(
        area_share=area / mask.size,
        area_px=area,
        asymmetry=asymmetry(coverage),
        border_irregularity=border_irregularity(coverage),
        diameter_px=greatest_diameter(region),
        touches_edge=any(edge.any() for edge in edges),
    )


def checked_scale(pixels_per_mm: float | str) -> float:
    """A scale as a number.

    Raises:
        InputError: it is not a positive number.
    """
    try:
        scale = float(pixels_per_mm)
    except ValueError:
        scale = math.nan
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"the scale is {pixels_per_mm} pixels per mm; give a number above 0.")
    return scale


def greatest_diameter(mask: NDArray) -> float:
    """The greatest distance between two points of a region (its maximal Feret diameter).

    Pixels are squares of side 1, so that a row of n pixels measures ``sqrt(n ** 2 + 1)``.

    Args:
        mask: 0 and not 0, ``(H, W)``, not empty.

    Returns:
        Pixels.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    left = mask.argmax(axis=1)[rows]
    right = mask.shape[1] - mask[:, ::-1].argmax(axis=1)[rows]
    # the hull of all pixels is that of the outer corners of each row's ends
    corners = [np.stack([rows + step, side], axis=1) for step in (0, 1) for side in (left, right)]
    points = np.concatenate(corners).astype(float)
    return float(pdist(points[ConvexHull(points).vertices]).max())


def border_irregularity(coverage: NDArray[np.float64]) -> float:
    """The compactness index P² / (4 pi A) of perimeter P and area A.

    1 for a disc, 4 / pi for a square; indentations, protrusions and elongation make it larger. The border is
    smoothed by 1 % of the lesion's diameter first: the steps of the pixel grid would otherwise count, and the same
    lesion would get another value in a photo of another resolution. The perimeter is the total variation of the
    smoothed mask, which by the co-area formula is the mean length of its level lines.

    Reference:
        Golston, Stoecker, Moss and Dhillon. Automatic detection of irregular borders in melanoma and other skin
        tumors. Computerized Medical Imaging and Graphics 16(3), 1992, 199-203.

    Args:
        coverage: of one region without holes, see :func:`coverage_grid`.

    Returns:
        The index, at least 1.
    """
    perimeter = ndimage.gaussian_gradient_magnitude(coverage, _SMOOTHING, mode="constant").sum()
    # nothing is rounder than a disc, but smoothing takes from the border of the smallest
    return max(1.0, float(perimeter**2 / (4 * math.pi * coverage.sum())))


def asymmetry(coverage: NDArray[np.float64]) -> float:
    """The share of a region that has no mirror image in it, for the best pair of axes.

    The region is folded about two perpendicular axes through its centroid. For each, the part whose mirror image
    falls outside the region is divided by the region's area; the index is the mean of the two. The axes are
    turned to where that is lowest, as the ABCD rule of dermoscopy does it by eye.

    References:
        Stoecker, Li and Moss. Automatic detection of asymmetry in skin tumors. Computerized Medical Imaging and
        Graphics 16(3), 1992, 191-197 (the share of area that does not overlap after folding).
        Nachbar et al. The ABCD rule of dermatoscopy. Journal of the American Academy of Dermatology 30(4), 1994,
        551-559 (two perpendicular axes, placed for the lowest asymmetry).

    Args:
        coverage: of one region, see :func:`coverage_grid`.

    Returns:
        0 to 1.
    """
    shape = ndimage.gaussian_filter(coverage, _SMOOTHING, mode="constant")
    total, centre = float(shape.sum()), np.array(ndimage.center_of_mass(shape))
    away, values = (np.argwhere(shape) - centre).T, shape[shape != 0]
    # a mirror image lies as far from the centre: nearer than any pixel that is not full, it is full as well
    radius = np.hypot(*away)
    outer = radius > radius[values < 1 - 1e-9].min() - math.sqrt(2)
    # grid_sample counts from -1 to 1, columns before rows
    per_pixel = 2 / (np.array(shape.shape) - 1)
    exact = (
        torch.from_numpy(shape).expand(2, 1, -1, -1),
        torch.from_numpy((centre * per_pixel - 1)[[1, 0, 1, 0], None]),
        torch.from_numpy(away[:, outer]),
        torch.from_numpy(values[outer]),
    )
    rough = tuple(tensor.float() for tensor in exact)  # a third of the time, enough to find the best by

    def unmatched(degrees: float, images: Tensor, middle: Tensor, places: Tensor, covered: Tensor) -> float:
        angle = math.radians(2 * degrees)
        # the mirror about the axis at that angle; about the perpendicular axis it is the negative
        mirror = np.array([[math.sin(angle), -math.cos(angle)], [math.cos(angle), math.sin(angle)]])
        mirror *= per_pixel[::-1, None]
        both = torch.from_numpy(np.concatenate([mirror, -mirror])).to(places.dtype)
        grid = torch.addmm(middle, both, places).view(2, 2, 1, -1).permute(0, 2, 3, 1)
        folded = F.grid_sample(images, grid, align_corners=True)[:, 0, 0]
        missing = 2 * float(covered.sum()) - float(torch.minimum(covered, folded).sum())
        return max(0.0, missing / (2 * total))

    tried = np.arange(0, 90, _SEARCH_STEP)
    best = min(tried, key=lambda degrees: unmatched(degrees, *rough))
    refined = minimize_scalar(
        unmatched,
        args=exact,
        bounds=(best - _SEARCH_STEP, best + _SEARCH_STEP),
        method="bounded",
        options={"xatol": 0.05},
    )
    return min(float(refined.fun), unmatched(best, *exact))


def coverage_grid(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The region's coverage of a grid on which its diameter is at most 160 pixels, with a margin for smoothing.

    Args:
        region: ``(H, W)``, not empty.

    Returns:
        ``(h, w)``, 0 to 1.
    """
    factor = math.sqrt(4 * np.count_nonzero(region) / math.pi) / _GRID_DIAMETER
    grid: NDArray = region
    if factor > 1:
        # whole grid cells, so that both sides are reduced by the same factor
        cells = [math.ceil(length / factor) for length in region.shape]
        missing = [
            math.ceil(cell * factor) - length for cell, length in zip(cells, region.shape, strict=True)
        ]
        padded = np.pad(region.view(np.uint8), [(0, max(0, count)) for count in missing])
        image = Image.fromarray(padded).convert("F")
        box = (0.0, 0.0, min(cells[1] * factor, image.width), min(cells[0] * factor, image.height))
        grid = np.asarray(image.resize((cells[1], cells[0]), Image.Resampling.BOX, box=box))
    # room for the smoothed border
    return np.pad(grid.astype(np.float64), math.ceil(6 * _SMOOTHING))

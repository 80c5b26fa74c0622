"""The five dermoscopic attributes as visible structures, and masks over the regions where they lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dermaseg_monai.datasets.isic2018 import ATTRIBUTES
from dermaseg_monai.datasets.phantoms.canvas import Canvas, Field, Mask, Pen, smoothstep
from dermaseg_monai.datasets.phantoms.lesion import Lesion

PREVALENCE = {
    "pigment_network": 0.59,
    "negative_network": 0.07,
    "streaks": 0.05,
    "milia_like_cyst": 0.26,
    "globules": 0.23,
}
"""How often each attribute is drawn: about as often as the official annotators found it."""

_SUPERPIXELS_ACROSS = 30


def draw_structures(canvas: Canvas, rng: np.random.Generator, lesion: Lesion) -> tuple[Mask, Field]:
    """Draw a random choice of attributes into the pigments of ``lesion``.

    Args:
        canvas: the frame.
        rng: where all variation comes from.
        lesion: its pigment fields are changed in place.

    Returns:
        Masks (5, H, W) in the attribute order, each inside the lesion, and the share of cyst white (H, W).
    """
    drawers = {
        "pigment_network": _pigment_network,
        "negative_network": _negative_network,
        "streaks": _streaks,
        "globules": _globules,
    }
    masks = np.zeros((len(ATTRIBUTES), canvas.height, canvas.width), bool)
    white = np.zeros_like(lesion.depth)
    superpixels = _superpixels(canvas, rng)
    present = rng.random(len(ATTRIBUTES)) < np.array([PREVALENCE[name] for name in ATTRIBUTES])
    for index, (name, stream) in enumerate(zip(ATTRIBUTES, rng.spawn(len(ATTRIBUTES)), strict=True)):
        if not present[index]:
            continue
        if name == "milia_like_cyst":
            white, evidence = _cysts(canvas, stream, lesion)
        else:
            evidence = drawers[name](canvas, stream, lesion)
        masks[index] = _annotate(superpixels, evidence, lesion.mask)
    return masks, white


def _superpixels(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.int64]:
    """Labels of wavy cells of about equal size, (H, W)."""
    size = 2 * canvas.extent[1] / _SUPERPIXELS_ACROSS
    rows, columns = (
        np.floor(axis / np.float32(size) + canvas.noise(rng, 18) * np.float32(0.26)).astype(np.int64)
        for axis in (canvas.v, canvas.u)
    )
    rows -= rows.min()
    columns -= columns.min()
    return np.asarray(rows * (columns.max() + 1) + columns)


def _annotate(superpixels: NDArray[np.int64], evidence: Field, lesion: Mask) -> Mask:
    """The superpixels in which ``evidence`` (0 to 1) fills enough of the lesion's part; at least one."""
    labels = superpixels.ravel()
    seen = np.bincount(labels, (evidence * lesion).ravel())
    share = seen / np.maximum(np.bincount(labels, lesion.ravel()), 1)
    chosen = (share > 0.25) & (seen > 0)
    if not chosen.any():
        chosen[seen.argmax() if seen.any() else labels[lesion.ravel().argmax()]] = True
    return np.asarray(chosen[superpixels] & lesion)


def _region(
    canvas: Canvas, rng: np.random.Generator, lesion: Lesion, share: float, towards_rim: float = 0.0
) -> Field:
    """A soft-edged patch that takes about ``share`` of the lesion, (H, W) in [0, 1]."""
    score = canvas.noise(rng, np.clip(0.7 / lesion.radius, 2, 12), 2)
    score -= lesion.depth * np.float32(towards_rim / lesion.radius)
    limit = float(np.quantile(score[lesion.mask], 1 - share))
    return smoothstep(score, limit - 0.35, limit + 0.25) * lesion.cover


def _clear(lesion: Lesion, region: Field) -> None:
    """Thin out veil and near-black pigment in ``region``: only what can be seen is annotated."""
    lesion.veil *= 1 - region * np.float32(0.7)
    lesion.melanin -= region * np.maximum(lesion.melanin - np.float32(1.1), 0) * np.float32(0.8)


def _meshes(canvas: Canvas, rng: np.random.Generator, period: float, thickness: float) -> Field:
    """Irregular honeycomb lines, (H, W) in [0, 1]."""
    cells = 0.35 / period
    u, v = (
        axis + canvas.noise(rng, cells) * np.float32(period * rng.uniform(0.2, 0.34))
        for axis in (canvas.u, canvas.v)
    )
    turn = rng.uniform(0, np.pi)
    waves = np.zeros_like(u)
    for step in range(3):
        angle = turn + step * np.pi / 3
        frequency = 2 * np.pi / (period * np.cos(np.pi / 6))
        waves += np.cos(u * np.float32(frequency * np.cos(angle)) + v * np.float32(frequency * np.sin(angle)))
    # the sum is 3 in the middle of each mesh and below 0 where its walls run
    return 1 - smoothstep(waves, -1.1 + thickness, 0.9 + thickness)


def _pigment_network(canvas: Canvas, rng: np.random.Generator, lesion: Lesion) -> Field:
    share = float(np.clip(np.exp(rng.normal(np.log(0.26), 0.85)), 0.05, 0.92))
    region = _region(canvas, rng, lesion, share, towards_rim=rng.uniform(0.0, 1.5))
    period = np.clip(lesion.radius * 0.12, 0.020, 0.029) * rng.uniform(0.9, 1.25)
    lines = _meshes(canvas, rng, period, rng.uniform(-0.4, 0.0))
    lines *= np.clip(1 + canvas.noise(rng, 12, 2) * np.float32(0.35), 0.3, 1.6)
    _clear(lesion, region)
    # the meshes' openings show lighter skin, the lines darker pigment
    lesion.melanin *= 1 - region * np.float32(rng.uniform(0.2, 0.4))
    lesion.melanin += region * lines * np.float32(rng.uniform(0.3, 0.65))
    return region


def _negative_network(canvas: Canvas, rng: np.random.Generator, lesion: Lesion) -> Field:
    region = _region(canvas, rng, lesion, float(rng.uniform(0.08, 0.35)), towards_rim=-0.5)
    period = np.clip(lesion.radius * 0.18, 0.030, 0.048) * rng.uniform(0.9, 1.2)
    lines = _meshes(canvas, rng, period, rng.uniform(-0.4, -0.1))
    _clear(lesion, region)
    # light lines need dark pigment to lie in
    lesion.melanin += region * np.float32(0.45)
    lesion.melanin *= 1 - region * lines * np.float32(rng.uniform(0.6, 0.85))
    lesion.blood *= 1 - region * lines * np.float32(0.5)
    return region


def _globules(canvas: Canvas, rng: np.random.Generator, lesion: Lesion) -> Field:
    share = float(np.clip(np.exp(rng.normal(np.log(0.16), 0.8)), 0.03, 0.6))
    region = _region(canvas, rng, lesion, share, towards_rim=rng.uniform(-0.6, 0.8))
    radius = np.clip(lesion.radius * 0.05, 0.0075, 0.014) * rng.uniform(0.85, 1.3)
    _clear(lesion, region)
    pen, near = Pen(canvas), Pen(canvas)
    for u, v in _scatter(canvas, rng, region * lesion.mask, radius * rng.uniform(2.6, 3.6), keep=0.8):
        across, down = radius * rng.uniform(0.6, 1.15, 2)
        pen.dot(u, v, (across, down), rng.uniform(0.6, 1.0))
        near.dot(u, v, (radius * 2.2, radius * 2.2))
    lesion.melanin += ndimage.uniform_filter(pen.layer(), 2) * np.float32(rng.uniform(0.7, 1.3))
    return near.layer()


def _cysts(canvas: Canvas, rng: np.random.Generator, lesion: Lesion) -> tuple[Field, Field]:
    region = _region(canvas, rng, lesion, float(rng.uniform(0.2, 0.8)), towards_rim=-0.4)
    radius = np.clip(lesion.radius * 0.045, 0.0075, 0.013)
    spacing = lesion.radius * rng.uniform(0.28, 0.7)
    pen, near = Pen(canvas), Pen(canvas)
    for u, v in _scatter(canvas, rng, region * lesion.mask, spacing, keep=0.7):
        size = radius * rng.uniform(0.7, 1.6)
        pen.dot(u, v, (size, size * rng.uniform(0.85, 1.15)), rng.uniform(0.7, 1.0))
        near.dot(u, v, (size * 2, size * 2))
    white = ndimage.gaussian_filter(pen.layer(), canvas.scale * 0.0035, truncate=2)
    return white * np.float32(rng.uniform(0.65, 0.95)), near.layer()


def _scatter(
    canvas: Canvas, rng: np.random.Generator, where: Field, spacing: float, keep: float
) -> NDArray[np.float64]:
    """Points (N, 2) on a shaken grid: a share ``keep`` of those where ``where`` > 0.5, at least one."""
    half_height, half_width = canvas.extent
    columns, rows = np.meshgrid(
        np.arange(-half_width, half_width, spacing), np.arange(-half_height, half_height, spacing)
    )
    grid = np.stack([columns.ravel(), rows.ravel()], axis=1)
    grid += rng.uniform(-0.42, 0.42, grid.shape) * spacing
    points = grid[(canvas.at(where, grid) > 0.5) & (rng.random(len(grid)) < keep)]
    if len(points):
        return points
    row, column = np.unravel_index(int(where.argmax()), where.shape)
    return np.array([[canvas.u[row, column], canvas.v[row, column]]], dtype=np.float64)


def _streaks(canvas: Canvas, rng: np.random.Generator, lesion: Lesion) -> Field:
    length = float(np.clip(lesion.radius * rng.uniform(0.2, 0.38), 0.03, 0.09))
    pitch = length * rng.uniform(0.22, 0.34)
    half_sector = rng.choice([rng.uniform(0.35, 0.9), np.pi], p=[0.8, 0.2])
    angle = np.arctan2(canvas.v - np.float32(lesion.centre[1]), canvas.u - np.float32(lesion.centre[0]))
    # the sector lies about a part of the outline that is in view, wherever the frame or the opening has cut
    in_view = angle[lesion.mask & (lesion.depth < length)]
    middle = in_view[int(rng.random() * len(in_view))] if len(in_view) else 0.0
    turned = np.abs(
        (angle - np.float32(middle) + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi)
    )
    sector = 1 - smoothstep(turned, float(half_sector) - 0.05, float(half_sector) + 0.15)
    rim = sector * (1 - smoothstep(lesion.depth, length * 0.7, length * 1.1)) * lesion.mask

    # the plain colour draws back, so that the streaks stand out like fingers
    lesion.cover *= 1 - rim * np.float32(0.55)
    gradients = np.gradient(lesion.depth)
    pen = Pen(canvas)
    steps = np.linspace(0, 1, 6)
    # pseudopods end in knobs, radial streaming does not
    knobbed = rng.random() < 0.4
    for theta in np.arange(-np.pi, np.pi, pitch / lesion.radius):
        start = _at_depth(canvas, lesion, theta + rng.normal(0, 0.2) * pitch / lesion.radius, length)
        reach, bend, thickness = rng.uniform(0.75, 1.1) * length, rng.normal(0, 0.12), rng.uniform(0.25, 0.45)
        if start is None or canvas.at(rim + sector, start[None])[0] < 0.8:
            continue
        outward = -np.array([canvas.at(gradients[axis], start[None])[0] for axis in (1, 0)])
        outward /= max(float(np.linalg.norm(outward)), 1e-9)
        sideways = np.array([-outward[1], outward[0]]) * bend
        points = start + steps[:, None] * reach * outward + (steps**2)[:, None] * reach * sideways
        pen.stroke(points, pitch * thickness * (1.4 - 0.8 * steps), rng.uniform(0.6, 1.0))
        if knobbed:
            pen.dot(points[-1, 0], points[-1, 1], (pitch * thickness * 0.6,) * 2, 0.9)
    fingers = ndimage.gaussian_filter(pen.layer(), canvas.scale * 0.003, truncate=2) * lesion.mask
    lesion.cover = np.maximum(lesion.cover, fingers)
    lesion.melanin += fingers * np.float32(rng.uniform(0.45, 0.9))
    return rim


def _at_depth(canvas: Canvas, lesion: Lesion, theta: float, depth: float) -> NDArray[np.float64] | None:
    """Where a ray from the lesion's middle is last ``depth`` inside, or None if that is out of view."""
    ways = np.linspace(0, 3 * lesion.radius, 96)
    points = np.array(lesion.centre) + ways[:, None] * np.array([np.cos(theta), np.sin(theta)])
    half_height, half_width = canvas.extent
    points = points[(np.abs(points[:, 0]) < half_width) & (np.abs(points[:, 1]) < half_height)]
    if not len(points):
        return None
    deep = np.flatnonzero(canvas.at(lesion.depth, points) > depth)
    return points[deep[-1]] if len(deep) else None

"""A lesion's outline and its pigments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dermaseg_monai.datasets.phantoms.canvas import Canvas, Field, Mask, smoothstep

SMALLEST, LARGEST = 0.02, 0.70
"""The share of the frame that a lesion takes in view, before loose pieces are dropped."""


@dataclass
class Lesion:
    """A lesion before its structures are drawn; drawing them changes the pigment fields.

    Attributes:
        mask: (H, W), one region without holes.
        depth: signed distance to the outline in units, positive inside, (H, W).
        radius: that of a circle of the same area, in units.
        centre: (u, v) of the middle.
        cover: how much of the lesion's colour shows, 0 to 1, (H, W).
        melanin: brown pigment, (H, W).
        blood: red pigment, (H, W).
        veil: share of blue-white haze, (H, W).
    """

    mask: Mask
    depth: Field
    radius: float
    centre: tuple[float, float]
    cover: Field
    melanin: Field
    blood: Field
    veil: Field


def one_region(mask: Mask) -> Mask:
    """The largest region of ``mask`` (joined along sides), its holes filled."""
    regions, count = ndimage.label(mask)
    if count > 1:
        sizes = np.bincount(regions.ravel())
        sizes[0] = 0
        mask = regions == sizes.argmax()
    outside, _ = ndimage.label(~mask)
    border = np.concatenate([outside[0], outside[-1], outside[:, 0], outside[:, -1]])
    reaches_border = np.zeros(outside.max() + 1, bool)
    reaches_border[border] = True
    reaches_border[0] = False
    return np.asarray(~reaches_border[outside])


def grow_lesion(canvas: Canvas, rng: np.random.Generator, view: Mask) -> Lesion:
    """A lesion with an outline, a boundary from sharp to diffuse, and pigment of several tones.

    Args:
        canvas: the frame.
        rng: where all variation comes from.
        view: what the dermatoscope's opening shows, (H, W).

    Returns:
        The lesion.
    """
    share = float(np.clip(np.exp(rng.normal(np.log(0.13), 1.0)), SMALLEST + 0.003, LARGEST - 0.02))
    share = min(share, 0.85 * float(view.mean()))
    radius = float(np.sqrt(share / np.pi))
    if rng.random() < 0.07:
        side = rng.uniform(0, 2 * np.pi)
        ray = np.linspace(0, 1, 64)[:, None] * np.array([np.cos(side), np.sin(side)])
        seen = canvas.at(view, ray) & (np.abs(ray) < canvas.extent[::-1]).all(axis=1)
        rim = np.linalg.norm(ray[np.flatnonzero(seen)[-1]])
        reach = max(0.0, float(rim - radius * rng.uniform(0.1, 0.7)))
        centre = (float(np.cos(side)) * reach, float(np.sin(side)) * reach)
    else:
        room = max(0.05, 0.30 - radius)
        centre = (float(rng.normal(0, room * 0.45)), float(rng.normal(0, room * 0.4)))

    depth = _depth(canvas, rng, share, radius, centre, view)
    mask = one_region((depth > 0) & view)
    cover = _cover(canvas, rng, depth, radius)
    melanin, blood = _pigments(canvas, rng, depth, radius)
    veil = np.zeros_like(depth)
    if rng.random() < 0.14:
        patch = canvas.noise(rng, 1.2 / radius, 2) + depth / np.float32(radius)
        veil = smoothstep(patch, 0.4, 1.8) * np.float32(rng.uniform(0.35, 0.75))
    return Lesion(mask, depth, radius, centre, cover, melanin, blood, veil)


def _depth(
    canvas: Canvas,
    rng: np.random.Generator,
    share: float,
    radius: float,
    centre: tuple[float, float],
    view: Mask,
) -> Field:
    """Signed distance to a random outline that holds ``share`` of the frame in what ``view`` shows of it."""
    coarse = canvas.coarse()
    turn, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, 1.9))
    du, dv = coarse.u - np.float32(centre[0]), coarse.v - np.float32(centre[1])
    along = (du * np.float32(np.cos(turn)) + dv * np.float32(np.sin(turn))) / np.float32(stretch)
    across = (dv * np.float32(np.cos(turn)) - du * np.float32(np.sin(turn))) * np.float32(stretch)
    angle = np.arctan2(across, along)
    wobble = rng.uniform(0.02, 0.21)
    reach = np.ones_like(angle)
    for order in range(1, 7):
        swing = np.float32(wobble * rng.normal() / order**1.3)
        reach += swing * np.cos(order * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    ragged = coarse.noise(rng, np.clip(1.0 / radius, 3, 16), 3) * np.float32(rng.uniform(0.03, 0.17))
    level = reach - np.hypot(along, across) / np.float32(radius) + ragged
    visible = coarse.resize(view.astype(np.float32)) > 0.5
    inside = one_region(level > np.quantile(level[visible], 1 - share / visible.mean()))
    sampling = (2 * coarse.extent[0] / coarse.height, 2 * coarse.extent[1] / coarse.width)
    distance = ndimage.distance_transform_edt(inside, sampling) - ndimage.distance_transform_edt(
        ~inside, sampling
    )
    # the outline came from pixels: round their corners off before they are enlarged
    return canvas.resize(ndimage.gaussian_filter(distance.astype(np.float32), 1.0))


def _cover(canvas: Canvas, rng: np.random.Generator, depth: Field, radius: float) -> Field:
    """From sharp to very diffuse, and not alike all the way round."""
    width = np.exp(rng.uniform(np.log(0.006), np.log(0.075))) * np.clip(radius / 0.2, 0.5, 1.2)
    widths = np.float32(width) * np.exp(np.clip(canvas.noise(rng, 2.5), -1.5, 1.5) * np.float32(0.35))
    frayed = canvas.noise(rng, np.clip(4 / radius, 16, 50), 2) * np.float32(0.005 + 0.35 * width)
    # people draw the outline where the colour begins, not where it is half of its strength
    steepness = np.clip((depth + frayed - 0.6 * widths) / (0.5 * widths), -20, 20)
    return np.asarray(1 / (1 + np.exp(-steepness)))


def _pigments(canvas: Canvas, rng: np.random.Generator, depth: Field, radius: float) -> tuple[Field, Field]:
    """Melanin and blood, in several tones, as if the lesion filled the frame."""
    kind = rng.choice(["brown", "dark", "faint", "pink"], p=[0.52, 0.18, 0.17, 0.13])
    melanin = {"brown": (0.55, 1.3), "dark": (1.2, 2.3), "faint": (0.22, 0.5), "pink": (0.06, 0.28)}[kind]
    blood = {"brown": (0.0, 0.25), "dark": (0.0, 0.3), "faint": (0.0, 0.2), "pink": (0.22, 0.6)}[kind]
    inner = np.clip(depth / np.float32(radius), 0, 1)
    tone = 1 + canvas.noise(rng, 1.4 / radius, 3) * np.float32(rng.uniform(0.08, 0.30))
    tone += canvas.noise(rng, 26, 2) * np.float32(rng.uniform(0.04, 0.18))
    tone += (inner - 0.4) * np.float32(rng.normal(0.4, 0.45))
    if rng.random() < 0.5:
        patch = smoothstep(canvas.noise(rng, 0.8 / radius, 3), 0.3, rng.uniform(0.6, 1.6))
        tone += patch * np.float32(rng.choice([-0.4, 0.5, 0.9], p=[0.3, 0.4, 0.3]))
    grain = canvas.noise(rng, 60, 2) * np.float32(rng.uniform(0.03, 0.12))
    brown = np.clip(tone + grain, 0.35, 2.6) * np.float32(rng.uniform(*melanin))
    mottled = np.clip(1 + canvas.noise(rng, 1.5 / radius, 2) * np.float32(0.35), 0.2, 2)
    return brown, mottled * np.float32(rng.uniform(*blood))

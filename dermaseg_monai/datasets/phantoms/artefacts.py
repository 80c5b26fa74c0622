"""Artefacts between skin and picture: hair, rulers, bubbles, ink, glints, and the dermatoscope itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from dermaseg_monai.datasets.phantoms.canvas import Canvas, Field, Mask, Pen, blend, smoothstep


@dataclass(frozen=True)
class View:
    """The dermatoscope's opening.

    Attributes:
        light: share of the picture that shows, 0 to 1, (H, W).
        surround: colour beyond the opening, RGB in [0, 1].
    """

    light: Field
    surround: tuple[float, float, float]

    @property
    def open(self) -> Mask:
        """Where skin can be seen, (H, W)."""
        return np.asarray(self.light > 0.3)


def choose_view(canvas: Canvas, rng: np.random.Generator) -> View:
    """A free view, a round opening with dark or grey corners, or a black frame."""
    kind = rng.choice(["free", "corners", "disc", "glass", "frame"], p=[0.70, 0.12, 0.06, 0.08, 0.04])
    half_height, half_width = canvas.extent
    light = np.ones((canvas.height, canvas.width), np.float32)
    surround = (0.02, 0.015, 0.02)
    if kind == "frame":
        for axis, half in ((canvas.u, half_width), (canvas.v, half_height)):
            for side in (-1, 1):
                light *= 1 - smoothstep(side * axis, half - rng.uniform(0.0, 0.07), half + 0.005)
        light = (light > 0.5).astype(np.float32)
    elif kind != "free":
        reach = {"corners": (0.92, 1.06), "disc": (0.72, 0.88), "glass": (0.93, 1.05)}[kind]
        radius = half_width * rng.uniform(*reach)
        distance = np.hypot(
            canvas.u - np.float32(rng.normal(0, 0.025)), canvas.v - np.float32(rng.normal(0, 0.025))
        )
        softness = rng.uniform(0.008, 0.02) if kind == "glass" else rng.uniform(0.015, 0.09)
        light = 1 - smoothstep(distance, radius - softness, radius + softness)
        if kind == "glass":
            grey = rng.uniform(0.25, 0.7)
            surround = (grey, grey * 0.96, grey * 0.98)
    return View(light, surround)


def apply_view(canvas: Canvas, rng: np.random.Generator, image: Field, view: View) -> None:
    """Uneven light over ``image`` (3, H, W), vignetting, and the opening's edge; in place."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.28)
    slope = canvas.u * np.float32(np.cos(angle)) + canvas.v * np.float32(np.sin(angle))
    distance = canvas.u**2 + canvas.v**2
    image *= (1 + slope * np.float32(strength)) * (1 - distance * np.float32(rng.uniform(0, 0.55)))
    warmth = rng.normal(0, 0.02)
    for plane, shift in zip(image, (1 + warmth, 1.0, 1 - warmth), strict=True):
        plane *= np.float32(shift)
        hidden = 1 - view.light
    # beyond the opening, glass is lit from the middle like the skin
    shade = 1 - distance * np.float32(0.45)
    for plane, value in zip(image, view.surround, strict=True):
        plane += hidden * (np.float32(value) * shade - plane)


def add_artefacts(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    """Lay a random choice of artefacts over ``image`` (3, H, W), in place."""
    artefacts = (
        (_stickers, 0.03),
        (_ink, 0.05),
        (draw_ruler, 0.20),
        (_bubbles, 0.25),
        (_hairs, 0.52),
        (_light_hairs, 0.08),
        (_glints, 0.30),
    )
    for (add, chance), stream in zip(artefacts, rng.spawn(len(artefacts)), strict=True):
        if stream.random() < chance:
            add(canvas, stream, image)


def _hairs(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    stubble = rng.random() < 0.15
    count = int(np.clip(np.exp(rng.normal(2.3, 0.9)), 2, 70)) * (3 if stubble else 1)
    lengths = (0.02, 0.05) if stubble else (0.25, 1.1)
    draw_hairs(canvas, rng, image, min(count, 90), lengths)


def draw_hairs(
    canvas: Canvas,
    rng: np.random.Generator,
    image: Field,
    count: int,
    lengths: tuple[float, float] = (0.25, 1.1),
) -> None:
    """Lay dark hairs with their shadows over ``image`` (3, H, W), in place.

    Args:
        canvas: of the image's size.
        rng: the first hairs of a larger count are those of a smaller one.
        image: RGB in [0, 1].
        count: how many hairs.
        lengths: of the shortest and the longest hair, in units of the canvas.
    """
    hair = _strands(canvas, rng, count, lengths)
    shade = rng.uniform(0.05, 0.30)
    # a hair throws a faint shadow beside itself
    image *= 1 - np.roll(hair, (1, 1), (0, 1)) * np.float32(0.15)
    blend(
        image, (shade * rng.uniform(1.1, 1.7), shade, shade * 0.85), hair * np.float32(rng.uniform(0.6, 0.95))
    )


def _light_hairs(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    hair = _strands(canvas, rng, int(rng.integers(4, 25)), (0.2, 0.8))
    blend(image, (0.88, 0.84, 0.78), hair * np.float32(rng.uniform(0.3, 0.6)))


def _strands(canvas: Canvas, rng: np.random.Generator, count: int, lengths: tuple[float, float]) -> Field:
    """Curved, tapered strands that mostly lie one way, (H, W) in [0, 1]."""
    pen = Pen(canvas)
    half_height, half_width = canvas.extent
    growth, spread = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 1.2)
    thickness = rng.uniform(0.0035, 0.0085)
    steps = np.linspace(0, 1, 14)
    for _ in range(count):
        length, curl = rng.uniform(*lengths), rng.normal(0, 0.7)
        angles = (
            growth + rng.normal(0, spread) + curl * (steps - 0.5) + rng.normal(0, 0.5) * (steps - 0.5) ** 2
        )
        path = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0) * length / len(steps)
        start = rng.uniform(-1.1, 1.1, 2) * (half_width, half_height)
        widths = thickness * rng.uniform(0.6, 1.2) * (1.05 - 0.85 * steps)
        pen.stroke(path - path[7] + start, widths, rng.uniform(0.75, 1.0))
    return pen.layer()


def draw_ruler(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    """Lay the marks of a ruler over ``image`` (3, H, W), RGB in [0, 1], in place."""
    pen = Pen(canvas)
    half_height, half_width = canvas.extent
    angle = rng.choice([rng.normal(0, 0.25), np.pi / 2 + rng.normal(0, 0.1)], p=[0.75, 0.25])
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    upright = abs(along[1]) > 0.7
    side = rng.choice([-1.0, 1.0])
    start = np.array([side * half_width * rng.uniform(0.75, 0.95), rng.uniform(-0.6, 0.1) * half_height])
    if not upright:
        start = np.array([rng.uniform(-0.8, -0.1) * half_width, half_height * rng.uniform(0.6, 0.9)])
    tick, count, width = rng.uniform(0.02, 0.05), int(rng.integers(10, 40)), rng.uniform(0.003, 0.005)
    if rng.random() < 0.7:
        line = start + np.array([[0.0], [tick * count]]) * along
        pen.stroke(line, np.full(2, width))
    for index in range(count + 1):
        height = 0.045 if index % 10 == 0 else 0.032 if index % 5 == 0 else 0.02
        foot = start + index * tick * along
        pen.stroke(np.stack([foot, foot - height * across]), np.full(2, width))
    shade = rng.uniform(0.1, 0.35)
    blend(image, (shade, shade, shade), pen.layer() * np.float32(rng.uniform(0.5, 0.9)))


def _bubbles(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    dark, bright = Pen(canvas), Pen(canvas)
    half_height, half_width = canvas.extent
    for _ in range(rng.integers(1, 22)):
        radius = float(np.clip(np.exp(rng.normal(np.log(0.014), 0.6)), 0.006, 0.09))
        u, v = rng.uniform(-half_width, half_width), rng.uniform(-half_height, half_height)
        light = rng.normal(225, 25)
        dark.ring(u, v, radius, 0.005, (0, 360), 0.6)
        bright.ring(u, v, radius * 0.85, 0.006, (light - 50, light + 50), 0.8)
        bright.ring(u, v, radius * 0.85, 0.005, (light + 150, light + 210), 0.5)
    image *= 1 - ndimage.uniform_filter(dark.layer(), 2) * np.float32(0.30)
    blend(image, (0.98, 0.97, 0.96), ndimage.uniform_filter(bright.layer(), 2) * np.float32(0.8))


def _ink(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    pen = Pen(canvas)
    half_height, half_width = canvas.extent
    radius, width = rng.uniform(0.33, 0.5), rng.uniform(0.03, 0.09)
    for _ in range(rng.integers(1, 4)):
        angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, rng.uniform(0.8, 3.0), 20)
        circle = np.stack([np.cos(angles) * half_width / half_height, np.sin(angles)], axis=1)
        pen.stroke(circle * radius, np.full(20, width) * rng.uniform(0.5, 1.0))
    worn = smoothstep(canvas.noise(rng, 45, 2), -2.4, 0.6)
    share = ndimage.uniform_filter(pen.layer(), 3) * worn
    violet = np.array([0.36, 0.22, 0.58]) + rng.normal(0, 0.05, 3)
    blend(image, violet.tolist(), share * np.float32(rng.uniform(0.35, 0.85)))


def _stickers(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    """The round colour patches of some clinics, cut by the frame."""
    pen = Pen(canvas)
    half_height, half_width = canvas.extent
    radius = rng.uniform(0.14, 0.3)
    angle = rng.uniform(0, 2 * np.pi)
    u, v = np.cos(angle) * (half_width + radius * 0.4), np.sin(angle) * (half_height + radius * 0.4)
    pen.dot(float(u), float(v), (radius, radius))
    colours = ((0.20, 0.45, 0.70), (0.85, 0.70, 0.15), (0.25, 0.55, 0.35), (0.78, 0.25, 0.22))
    blend(image, colours[rng.integers(len(colours))], pen.layer() * np.float32(0.93))


def _glints(canvas: Canvas, rng: np.random.Generator, image: Field) -> None:
    """Specular light on the ridges of the skin, in a few places."""
    ridges = smoothstep(canvas.noise(rng, rng.uniform(90, 130)), rng.uniform(1.6, 2.2), 3.2)
    share = ridges * smoothstep(canvas.noise(rng, 4), 0.0, 1.2)
    blend(image, (1.0, 0.99, 0.98), np.clip(share * np.float32(rng.uniform(0.5, 1.0)), 0, 1))

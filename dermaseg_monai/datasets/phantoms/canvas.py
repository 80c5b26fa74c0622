"""Canvas that a phantom is drawn on: coordinates, smooth noise, and a pen.

Everything is placed in units of the square root of the frame's area, with the origin in the frame's middle. A
scene is therefore the same at every size of one aspect ratio, and an area in square units is a share of the
frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Field: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Value = TypeVar("Value", np.float32, np.bool_)

_SUPERSAMPLING = 2
_COARSE_AREA = 96 * 128


@dataclass(frozen=True)
class Canvas:
    """A frame of ``height`` x ``width`` pixels.

    Attributes:
        height: pixels.
        width: pixels.
    """

    height: int
    width: int

    @cached_property
    def scale(self) -> float:
        """Pixels per unit."""
        return float(np.sqrt(self.height * self.width))

    @cached_property
    def extent(self) -> tuple[float, float]:
        """Half height and half width of the frame, in units."""
        return self.height / self.scale / 2, self.width / self.scale / 2

    @cached_property
    def u(self) -> Field:
        """Horizontal position of every pixel, (H, W)."""
        row = (np.arange(self.width, dtype=np.float32) + 0.5) / self.scale - self.extent[1]
        return np.broadcast_to(row[None, :], (self.height, self.width)).astype(np.float32)

    @cached_property
    def v(self) -> Field:
        """Vertical position of every pixel, (H, W)."""
        column = (np.arange(self.height, dtype=np.float32) + 0.5) / self.scale - self.extent[0]
        return np.broadcast_to(column[:, None], (self.height, self.width)).astype(np.float32)

    def coarse(self) -> Canvas:
        """A canvas of the same aspect with the pixels that shapes need, never more than this one has."""
        factor = min(1.0, np.sqrt(_COARSE_AREA / (self.height * self.width)))
        return Canvas(max(8, round(self.height * factor)), max(8, round(self.width * factor)))

    def resize(self, field: Field) -> Field:
        """``field`` of any size, stretched smoothly to (H, W)."""
        if field.shape == (self.height, self.width):
            return field
        image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
        return np.asarray(image.resize((self.width, self.height), Image.Resampling.BICUBIC))

    def noise(self, rng: np.random.Generator, cells: float, octaves: int = 1) -> Field:
        """Smooth noise with mean about 0 and standard deviation about 1.

        Args:
            rng: drawn from alike at every size.
            cells: bumps along the frame's width, in the coarsest octave.
            octaves: how many times finer noise of half the strength is added.

        Returns:
            Array (H, W).
        """
        total = np.zeros((self.height, self.width), np.float32)
        for octave in range(octaves):
            columns = max(2, round(cells * 2**octave)) + 2
            rows = max(2, round(columns * 0.75)) + 1
            grid = rng.standard_normal((rows, columns), dtype=np.float32)
            # beyond what the frame can show, noise only averages out
            if octave == 0 or columns <= self.width:
                total += self.resize(grid) * np.float32(0.5**octave)
        strength = np.sqrt(sum(0.25**octave for octave in range(octaves)))
        # bicubic interpolation between knots takes away about a quarter of the grid's standard deviation
        return total * np.float32(1.35 / strength)

    def at(self, field: NDArray[Value], points: NDArray[np.float64]) -> NDArray[Value]:
        """Values of ``field`` (H, W) at ``points`` (N, 2) given as (u, v), at the nearest pixel."""
        columns = np.clip((points[:, 0] + self.extent[1]) * self.scale, 0, self.width - 1).astype(int)
        rows = np.clip((points[:, 1] + self.extent[0]) * self.scale, 0, self.height - 1).astype(int)
        return field[rows, columns]


class Pen:
    """Draws smooth-edged strokes and dots on an empty layer."""

    def __init__(self, canvas: Canvas) -> None:
        self._scale = canvas.scale * _SUPERSAMPLING
        self._origin = (canvas.extent[1], canvas.extent[0])
        self._image = Image.new("L", (canvas.width * _SUPERSAMPLING, canvas.height * _SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._image)

    def stroke(self, points: NDArray[np.float64], widths: NDArray[np.float64], level: float = 1.0) -> None:
        """A line through ``points`` (N, 2) with ``widths`` (N,) across, all in units; ``level`` in [0, 1]."""
        along = np.gradient(points, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
        # thinner than one drawn pixel would vanish: draw it that wide and fainter instead
        drawn = np.maximum(widths * self._scale, 1.0)
        faintness = float(np.clip(widths.max() * self._scale, 0.35, 1.0))
        half = across * (drawn[:, None] / 2)
        middle = (points + self._origin) * self._scale
        outline = np.concatenate([middle + half, (middle - half)[::-1]])
        self._draw.polygon(outline.ravel().tolist(), fill=round(255 * level * faintness))

    def dot(self, u: float, v: float, radii: tuple[float, float], level: float = 1.0) -> None:
        """A filled ellipse with ``radii`` (horizontal, vertical), in units."""
        x, y = (u + self._origin[0]) * self._scale, (v + self._origin[1]) * self._scale
        across, down = (max(radius * self._scale, 1.0) for radius in radii)
        self._draw.ellipse((x - across, y - down, x + across, y + down), fill=round(255 * level))

    def ring(
        self, u: float, v: float, radius: float, width: float, arc: tuple[float, float], level: float
    ) -> None:
        """A part of a circle's line between two angles in degrees, clockwise from the right."""
        x, y, r = (
            (u + self._origin[0]) * self._scale,
            (v + self._origin[1]) * self._scale,
            radius * self._scale,
        )
        pixels = max(1, round(width * self._scale))
        self._draw.arc((x - r, y - r, x + r, y + r), *arc, fill=round(255 * level), width=pixels)

    def layer(self) -> Field:
        """What was drawn, (H, W), in [0, 1]."""
        return np.asarray(self._image.reduce(_SUPERSAMPLING), dtype=np.float32) / np.float32(255)


def smoothstep(field: Field, low: float, high: float) -> Field:
    """0 below ``low``, 1 above ``high``, and a smooth ramp between."""
    t = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def blend(image: Field, colour: Sequence[float], share: Field) -> None:
    """Mix ``colour`` (RGB in [0, 1]) into ``image`` (3, H, W), in place, with ``share`` (H, W) in [0, 1]."""
    for plane, value in zip(image, colour, strict=True):
        plane += share * (np.float32(value) - plane)

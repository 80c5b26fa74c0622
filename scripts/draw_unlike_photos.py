"""Draw photos that no dermatoscope took, for measuring whether a network warns of them.

    python scripts/draw_unlike_photos.py OUTPUT
    python scripts/unlike_table.py DATA --folders OUTPUT/clinical,OUTPUT/patterns

Clinical photos are such as a plain camera takes of a lesion: a part of a body, lit from one side, before a cloth, and
on it a lesion of a tenth to a quarter of the frame's width and some moles. Their lesions and skin are those of
``dermaseg phantom``. Patterns are plain colours, noise, gradients, stripes, shapes and pages of text.
"""

from __future__ import annotations

from pathlib import Path

import fire
import numpy as np
from PIL import Image, ImageDraw

from dermaseg_monai.datasets.phantoms.canvas import Canvas, Field, smoothstep
from dermaseg_monai.datasets.phantoms.render import render_phantom
from dermaseg_monai.datasets.phantoms.skin import paint_skin

HEIGHT, WIDTH = 384, 512
"""Of each photo, in pixels."""

CLOTHS = ((0.20, 0.45, 0.70), (0.25, 0.55, 0.45), (0.85, 0.86, 0.88), (0.15, 0.16, 0.20), (0.55, 0.42, 0.30))
"""Colours of what lies behind the body: drapes of blue and green, paper, dark cloth, wood."""


def main(output: str, count: int = 30, seed: int = 0) -> None:
    """Write the folders ``clinical`` and ``patterns``, each with ``count`` photos.

    Args:
        output: folder for the two.
        count: how many of each.
        seed: of the first photo; the others follow.
    """
    for kind, draw in (("clinical", clinical_photo), ("patterns", pattern)):
        folder = Path(output) / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(seed, seed + count):
            Image.fromarray(draw(number)).save(folder / f"{kind}_{number:03d}.png")


def pattern(seed: int) -> np.ndarray:
    """One pattern, RGB uint8 ``(H, W, 3)``; six kinds in turn."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (2, 3))
    image = Image.new("RGB", (WIDTH, HEIGHT), tuple(colours[0]))
    draw = ImageDraw.Draw(image)
    kind = seed % 6
    if kind == 1:
        return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    if kind == 2:
        share = np.linspace(0, 1, WIDTH)[None, :, None]
        return np.broadcast_to(colours[0] * (1 - share) + colours[1] * share, (HEIGHT, WIDTH, 3)).astype(
            np.uint8
        )
    if kind == 3:
        step = int(rng.integers(4, 40))
        for left in range(0, WIDTH, 2 * step):
            draw.rectangle((left, 0, left + step, HEIGHT), fill=tuple(colours[1]))
    if kind == 4:
        for _ in range(12):
            corner, side = rng.integers(0, (WIDTH, HEIGHT)), rng.integers(20, 150)
            draw.ellipse((*corner, *(corner + side)), fill=tuple(rng.integers(0, 256, 3)))
    if kind == 5:
        draw.rectangle((0, 0, WIDTH, HEIGHT), fill="white")
        for top in range(10, HEIGHT - 10, 14):
            letters = rng.integers(97, 123, rng.integers(30, 80))
            draw.text((10, top), "".join(map(chr, letters)), fill="black")
    return np.asarray(image)


def clinical_photo(seed: int) -> np.ndarray:
    """One photo, RGB uint8 ``(H, W, 3)``."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(HEIGHT, WIDTH)
    image = paint_skin(canvas, rng)
    for spot in range(rng.integers(1, 6)):  # the lesion first, then moles
        _lay_lesion(
            image, rng, round(WIDTH * (rng.uniform(0.15, 0.35) if spot == 0 else rng.uniform(0.07, 0.12)))
        )
    inside = _lay_light(canvas, rng, image)
    cloth = np.array(CLOTHS[rng.integers(len(CLOTHS))]) * rng.uniform(0.8, 1.1)
    folds = 1 + canvas.noise(rng, 5, 3) * np.float32(0.08)
    image *= inside
    image += cloth.astype(np.float32)[:, None, None] * folds * (1 - inside)
    image += rng.standard_normal((HEIGHT, WIDTH), dtype=np.float32) * np.float32(0.008)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)


def _lay_lesion(image: Field, rng: np.random.Generator, side: int) -> None:
    """Darken the skin, in place, as a phantom's lesion darkens its own; the phantom is ``side`` pixels wide."""
    phantom = render_phantom(int(rng.integers(2**31)), (side, side))
    colours = phantom.image.astype(np.float32).transpose(2, 0, 1) / 255
    skin = np.median(colours[:, ~phantom.lesion], axis=1)
    mask = Image.fromarray(phantom.lesion).convert("L")
    soft = Canvas(side, side).resize(np.asarray(mask.reduce(3), dtype=np.float32) / 255).clip(0, 1)
    _, height, width = image.shape
    top = int((height - side) * rng.uniform(0.25, 0.75))
    left = int((width - side) * rng.uniform(0.2, 0.8))
    patch = image[:, top : top + side, left : left + side]
    patch *= 1 + soft * (np.clip(colours / skin[:, None, None].clip(0.05), 0, 1.1) - 1)


def _lay_light(canvas: Canvas, rng: np.random.Generator, image: Field) -> Field:
    """Shade a rounded part of a body, in place, and say which share of each pixel it takes, ``(H, W)``."""
    angle = rng.uniform(0, np.pi)
    across = canvas.u * np.float32(np.cos(angle)) + canvas.v * np.float32(np.sin(angle))
    across = across + canvas.noise(rng, 2) * np.float32(0.03)
    breadth = np.float32(rng.uniform(0.28, 0.75))  # half of it; the widest fill the frame
    round_off = np.sqrt(np.clip(1 - (across / breadth) ** 2, 0, 1))
    side = np.float32(rng.uniform(-0.35, 0.35))
    image *= 0.45 + 0.55 * round_off + side * across / breadth * round_off
    return 1 - smoothstep(np.abs(across), float(breadth) - 0.01, float(breadth) + 0.01)


if __name__ == "__main__":
    fire.Fire(main)

"""Bare skin: tone, mottling, lines, pores, freckles."""

from __future__ import annotations

import numpy as np

from dermaseg_monai.datasets.phantoms.canvas import Canvas, Field, Pen, smoothstep

# Seen through a dermatoscope: pale grey and cream, pink, salmon, tan, brown, deep brown (Fitzpatrick I to VI)
_TONES = np.array(
    [
        (0.86, 0.80, 0.79),
        (0.90, 0.83, 0.74),
        (0.90, 0.68, 0.68),
        (0.89, 0.58, 0.56),
        (0.86, 0.62, 0.48),
        (0.78, 0.54, 0.37),
        (0.62, 0.43, 0.31),
        (0.44, 0.30, 0.22),
    ]
)
_TONE_SHARES = np.array([0.16, 0.15, 0.22, 0.15, 0.13, 0.08, 0.07, 0.04])

MELANIN = (0.50, 0.92, 1.25)
"""How strongly one unit of melanin takes away red, green and blue light."""

BLOOD = (0.10, 0.62, 0.50)
"""The same for blood."""


def absorb(image: Field, amount: Field, spectrum: tuple[float, float, float]) -> None:
    """Take light away from ``image`` (3, H, W), in place, by ``amount`` (H, W) of pigment (Beer-Lambert)."""
    for plane, strength in zip(image, spectrum, strict=True):
        plane *= np.exp(amount * np.float32(-strength))


def paint_skin(canvas: Canvas, rng: np.random.Generator) -> Field:
    """Skin without a lesion.

    Args:
        canvas: the frame.
        rng: where all variation comes from.

    Returns:
        Array (3, H, W), RGB in about [0, 1].
    """
    first, second = rng.choice(len(_TONES), 2, p=_TONE_SHARES)
    tone = _TONES[first] + rng.uniform(0, 0.35) * (_TONES[second] - _TONES[first])
    tone = tone * rng.uniform(0.88, 1.06) + rng.normal(0, 0.015, 3)
    image = np.empty((3, canvas.height, canvas.width), np.float32)
    image[:] = tone.astype(np.float32)[:, None, None]

    absorb(image, canvas.noise(rng, rng.uniform(3, 8), 4) * np.float32(rng.uniform(0.015, 0.07)), BLOOD)
    absorb(image, canvas.noise(rng, rng.uniform(4, 14), 4) * np.float32(rng.uniform(0.008, 0.035)), MELANIN)
    if rng.random() < 0.35:
        image *= 1 + _lines(canvas, rng) * np.float32(rng.uniform(0.02, 0.08))
    if rng.random() < 0.14:
        sun_damage = smoothstep(canvas.noise(rng, rng.uniform(10, 22), 4), -1.2, 3.4)
        absorb(image, sun_damage * np.float32(rng.uniform(0.15, 0.42)), MELANIN)
    if rng.random() < 0.22:
        absorb(image, _spots(canvas, rng), MELANIN)
    if rng.random() < 0.12:
        vessels = smoothstep(-np.abs(canvas.noise(rng, rng.uniform(8, 16), 2)), -0.08, 0.0)
        patch = smoothstep(canvas.noise(rng, 4), 0.2, 1.2)
        absorb(image, vessels * patch * np.float32(rng.uniform(0.3, 0.6)), BLOOD)
    pores = canvas.noise(rng, rng.uniform(70, 120))
    image *= 1 + pores * np.float32(rng.uniform(0.004, 0.018))
    return image


def _lines(canvas: Canvas, rng: np.random.Generator) -> Field:
    """The fine crossing furrows of skin, light in about [0, 1]."""
    period = rng.uniform(0.035, 0.07)
    bend = canvas.noise(rng, 5, 2) * np.float32(period * 0.22)
    angle = rng.uniform(0, np.pi)
    furrows = np.zeros_like(bend)
    for turn in (0.0, rng.uniform(0.8, 1.4)):
        across = canvas.u * np.float32(np.cos(angle + turn)) + canvas.v * np.float32(np.sin(angle + turn))
        wave = np.cos((across + bend) * np.float32(2 * np.pi / period * rng.uniform(0.8, 1.2)))
        furrows = np.maximum(furrows, smoothstep(wave, 0.6, 1.0))
    return furrows * smoothstep(canvas.noise(rng, 9, 2), -0.8, 1.4)


def _spots(canvas: Canvas, rng: np.random.Generator) -> Field:
    """Freckles: small brown dots far from one another."""
    pen = Pen(canvas)
    half_height, half_width = canvas.extent
    for _ in range(rng.integers(1, 10)):
        radius = rng.uniform(0.006, 0.028)
        u, v = rng.uniform(-half_width, half_width), rng.uniform(-half_height, half_height)
        pen.dot(u, v, (radius, radius * rng.uniform(0.7, 1.3)), rng.uniform(0.3, 1.0))
    ragged = pen.layer() * np.clip(1 + canvas.noise(rng, 40) * np.float32(0.4), 0, 2)
    # drawn hard, shown soft: through a quarter of the size and back
    soft = canvas.resize(Canvas(max(2, canvas.height // 4), max(2, canvas.width // 4)).resize(ragged))
    return np.clip(soft, 0, None) * np.float32(rng.uniform(0.25, 0.9))

"""References of the losses, pixel by pixel in NumPy, and examples to try them on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Probabilities 1/2, 3/4, 1/4 and 9/10, of which the second and the last are lesion.
FOUR_PIXELS = torch.tensor([0.0, np.log(3), -np.log(3), np.log(9)], dtype=torch.float64).reshape(1, 1, 2, 2)
FOUR_LABELS = torch.tensor([[[[0, 1], [0, 1]]]], dtype=torch.uint8)


def example(mode: str, dtype: torch.dtype = torch.float32, soft: bool = False) -> tuple[Tensor, Tensor]:
    """Random logits and masks of three images, one of them without and one full of foreground."""
    generator = torch.Generator().manual_seed(1)
    channels = {"binary": 1, "two_class": 2, "multilabel": 5}[mode]
    logits = 2 * torch.randn(3, channels, 6, 7, generator=generator, dtype=dtype)
    target = torch.rand(3, 1 if mode == "two_class" else channels, 6, 7, generator=generator, dtype=dtype)
    target = target if soft else (target > 0.7).to(dtype)
    target[1], target[2] = 0, 1
    return logits, target


def probabilities(logits: Tensor, mode: str) -> np.ndarray:
    """Foreground probabilities, ``(B, C, H, W)``."""
    z = logits.double().numpy()
    if mode == "two_class":
        exponential = np.exp(z)
        return (exponential / exponential.sum(axis=1, keepdims=True))[:, 1:]
    return 1 / (1 + np.exp(-z))


def tversky_distances(
    p: np.ndarray, t: np.ndarray, alpha: float, beta: float, batch: bool, smooth: float
) -> np.ndarray:
    """One minus the Tversky index of each image and channel, or of each channel."""
    if batch:
        # One tall image per channel.
        p, t = (np.concatenate(list(x), axis=1)[None] for x in (p, t))
    distances = []
    for p_map, t_map in zip(p.reshape(-1, *p.shape[2:]), t.reshape(-1, *t.shape[2:]), strict=True):
        hit = false_positive = false_negative = 0.0
        for predicted, true in zip(p_map.flat, t_map.flat, strict=True):
            hit += min(predicted, true)
            false_positive += max(predicted - true, 0)
            false_negative += max(true - predicted, 0)
        errors = alpha * false_positive + beta * false_negative
        distances.append(1 - (hit + smooth) / (hit + errors + smooth))
    return np.array(distances)


def lovasz_distances(p: np.ndarray, t: np.ndarray, batch: bool) -> np.ndarray:
    """One minus the Jaccard index with all errors from a threshold on, integrated over the thresholds."""
    if batch:
        p, t = (np.concatenate(list(x), axis=1)[None] for x in (p, t))
    distances = []
    for p_map, t_map in zip(p.reshape(-1, *p.shape[2:]), t.reshape(-1, *t.shape[2:]), strict=True):
        errors = np.abs(p_map - t_map)
        total, below = 0.0, 0.0
        for threshold in np.unique(errors):  # between two of them the same pixels are wrong
            wrong = errors >= threshold
            missed, added = t_map[wrong].sum(), (1 - t_map)[wrong].sum()
            total += (threshold - below) * (1 - (t_map.sum() - missed) / (t_map.sum() + added))
            below = threshold
        distances.append(total)
    return np.array(distances)


def focal(p: np.ndarray, t: np.ndarray, gamma: float, weights: list[tuple[float, float]]) -> float:
    """Mean focal loss (gamma 0: cross-entropy); weights are those of absent and present, per channel."""
    total = 0.0
    for index, true in np.ndenumerate(t):
        absent, present = weights[index[1]]
        total -= present * true * (1 - p[index]) ** gamma * np.log(p[index])
        total -= absent * (1 - true) * p[index] ** gamma * np.log(1 - p[index])
    return total / t.size

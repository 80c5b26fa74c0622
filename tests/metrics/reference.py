"""Task 1 scores in exact fractions of pixel sets, masks to try them on, and error bounds of curves from histograms."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch

from dermaseg_monai.metrics.auc import at_or_above


def exact_scores(prediction: np.ndarray, target: np.ndarray) -> dict[str, Fraction]:
    """Every Task 1 score of two (H, W) masks, from sets of pixel positions."""
    claimed = set(zip(*np.nonzero(prediction), strict=True))
    lesion = set(zip(*np.nonzero(target), strict=True))
    skin_found = prediction.size - len(claimed | lesion)
    skin = prediction.size - len(lesion)

    def share(part: int, whole: int) -> Fraction:
        return Fraction(part, whole) if whole else Fraction(1)

    overlap = share(len(claimed & lesion), len(claimed | lesion))
    return {
        "dice": share(2 * len(claimed & lesion), len(claimed) + len(lesion)),
        "jaccard": overlap,
        "threshold_jaccard": overlap if overlap >= Fraction(65, 100) else Fraction(0),
        "accuracy": share(len(claimed & lesion) + skin_found, prediction.size),
        "sensitivity": share(len(claimed & lesion), len(lesion)),
        "specificity": share(skin_found, skin),
    }


def mask_pairs(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """(prediction, target) pairs of bool (H, W) masks of all sizes, every sort of edge case among them."""
    generator = np.random.default_rng(seed)
    pairs = []
    for index in range(count):
        shape = tuple(generator.integers(4, 24, size=2))
        sorts = [
            np.zeros(shape, bool),
            np.ones(shape, bool),
            np.arange(np.prod(shape)).reshape(shape) == generator.integers(np.prod(shape)),
            generator.random(shape) < generator.random(),
            generator.random(shape) < 0.9,
        ]
        if index < 25:
            pairs.append((sorts[index // 5], sorts[index % 5]))
        elif index % 3 == 0:
            pairs.append(pair_of_overlap(13, 20, scale=int(generator.integers(1, 6))))
        else:
            target = sorts[3 + index % 2]
            flipped = generator.random(shape) < generator.choice([0.02, 0.2, 0.5])
            pairs.append((target ^ flipped, target))
    return pairs


def pair_of_overlap(common: int, union: int, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two masks whose Jaccard index is exactly ``common / union``."""
    target = np.arange(union * scale + 7) < union * scale
    return (np.arange(union * scale + 7) < common * scale)[None], target[None]


def roc_auc_error(histogram: torch.Tensor) -> torch.Tensor:
    """Largest distance of ``roc_auc`` to the value for unrounded scores: half the share of pairs in one bin."""
    negative, positive = histogram.double()
    return (positive * negative).sum(-1) / (2 * positive.sum(-1) * negative.sum(-1))


def average_precision_error(histogram: torch.Tensor) -> torch.Tensor:
    """Largest distance of ``average_precision`` to the value for unrounded scores.

    Within a bin the exact order is unknown: the precision at each foreground pixel lies between that of the
    first one with all the bin's background before it and that of the last one with none of it.
    """
    negative, positive = histogram.double()
    fp, tp = at_or_above(negative), at_or_above(positive)
    precision = tp / (tp + fp).clamp(min=1)
    highest = tp / (tp + fp - negative).clamp(min=1)
    first = tp - positive + 1
    lowest = first / (first + fp)
    above = (positive * (highest - precision)).sum(-1)
    below = (positive * (precision - lowest)).sum(-1)
    return torch.maximum(above, below) / positive.sum(-1)

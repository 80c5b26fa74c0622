"""Fitted thresholds against masks made with every threshold."""

from __future__ import annotations

import pytest
import torch

from dermaseg_monai.errors import InputError
from dermaseg_monai.metrics import (
    THRESHOLDS,
    aggregate,
    best_thresholds,
    confusion_counts,
    counts_at_thresholds,
    probability_histogram,
)


def _images(seed: int = 0, channels: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Photos of different sizes, with probabilities that know something of the truth."""
    generator = torch.Generator().manual_seed(seed)
    images = []
    for size in ((9, 7), (20, 31), (5, 5)):
        target = (torch.rand(channels, *size, generator=generator) < 0.2).to(torch.uint8)
        noise = torch.rand(channels, *size, generator=generator)
        images.append(((0.4 * target + 0.6 * noise).clamp(0, 1), target))
    return images


def _official(
    images: list, thresholds: torch.Tensor, reduction: str, per_channel: bool = False
) -> torch.Tensor:
    counts = [
        confusion_counts((probability >= thresholds[:, None, None])[None], target[None])
        for probability, target in images
    ]
    return aggregate(torch.cat(counts), "jaccard", reduction, per_channel)


def _total(images: list) -> torch.Tensor:
    return torch.stack([probability_histogram(*image) for image in images]).sum(dim=0)


@pytest.mark.parametrize("place", [0, 1, 1365, 2048, THRESHOLDS - 1, THRESHOLDS])
def test_counts_are_those_of_masks_made_with_the_threshold(place: int) -> None:
    images = _images()
    images[0][0][0, 0] = place / THRESHOLDS  # exactly on the threshold: counts as predicted
    tp, fp, fn = counts_at_thresholds(_total(images))[place].unbind(-1)
    expected = _official(images, torch.full((3,), place / THRESHOLDS), "pooled_macro", per_channel=True)
    torch.testing.assert_close(tp / (tp + fp + fn), expected, atol=1e-12, rtol=0)


def test_macro_thresholds_are_the_best_of_all() -> None:
    images = _images()
    fitted = torch.tensor(best_thresholds(_total(images)))
    best = _official(images, fitted, "pooled_macro", per_channel=True)
    for place in range(0, THRESHOLDS + 1, 64):
        scores = _official(images, torch.full((3,), place / THRESHOLDS), "pooled_macro", per_channel=True)
        assert (best >= scores - 1e-12).all()


def test_micro_thresholds_beat_macro_ones_and_a_grid_of_pairs() -> None:
    images = _images(seed=3, channels=2)
    images = [(torch.stack([p[0], p[1] * 0.5 + 0.4 * (1 - t[1])]), t) for p, t in images]
    total = _total(images)
    best = _official(images, torch.tensor(best_thresholds(total, "micro")), "pooled_micro")
    assert best >= _official(images, torch.tensor(best_thresholds(total)), "pooled_micro")
    grid = torch.linspace(0, 1, 33)
    assert all(
        best >= _official(images, torch.stack([a, b]), "pooled_micro") - 1e-12 for a in grid for b in grid
    )


def test_channel_without_foreground_keeps_one_half() -> None:
    empty = torch.zeros(1, 4, 4, dtype=torch.uint8)
    for objective in ("macro", "micro"):
        assert best_thresholds(probability_histogram(torch.rand(1, 4, 4), empty), objective) == [0.5]


def test_mistakes() -> None:
    with pytest.raises(InputError, match="differ"):
        probability_histogram(torch.rand(1, 4, 4), torch.zeros(2, 4, 4))
    with pytest.raises(InputError, match="Unknown objective 'mean'"):
        best_thresholds(torch.zeros(2, 1, THRESHOLDS + 1), "mean")

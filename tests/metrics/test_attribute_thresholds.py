"""Fitted thresholds against masks made with every threshold."""

from __future__ import annotations

import pytest
import torch

from dermaseg_monai.metrics import (
    THRESHOLDS,
    aggregate,
    best_thresholds,
    confusion_counts,
    counts_at_thresholds,
    probability_histogram,
    scores_at,
)
from dermaseg_monai.utils.errors import InputError


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
    shares = [
        probability_histogram(probability[None], target[None]).double() / target[0].numel()
        for probability, target in images
    ]
    return torch.stack(shares).sum(dim=0)


def test_batches_count_as_their_images_do() -> None:
    images = [(torch.rand(2, 6, 5), torch.rand(2, 6, 5) < 0.5) for _ in range(3)]
    together = probability_histogram(*(torch.stack(part) for part in zip(*images, strict=True)))
    single = [probability_histogram(probability[None], target[None]) for probability, target in images]
    assert torch.equal(together, torch.stack(single).sum(dim=0))
    assert together.sum() == 3 * 2 * 6 * 5


def test_scores_of_a_small_case() -> None:
    probability = torch.tensor([[[[0.1, 0.2], [0.3, 0.9]], [[0.6, 0.6], [0.1, 0.1]]]])
    target = torch.tensor([[[[0, 1], [1, 1]], [[0, 0], [0, 0]]]])
    histogram = probability_histogram(probability, target)
    thresholds = best_thresholds(histogram)
    assert 0.1 < thresholds[0] <= 0.2
    assert thresholds[1] == 0.5
    jaccard, micro = scores_at(histogram, thresholds)
    assert (jaccard.tolist(), micro) == ([1, 0], 3 / 5)
    jaccard, micro = scores_at(histogram, [0.5, 0.75])
    assert (jaccard.tolist(), micro) == ([1 / 3, 1], 1 / 3)  # neither mask nor prediction: 1


def test_no_number_counts_as_no_probability() -> None:
    histogram = probability_histogram(torch.full((1, 1, 2, 2), torch.nan), torch.ones(1, 1, 2, 2))
    assert histogram[1, 0, 0] == 4


@pytest.mark.parametrize("step", [0, 1, 1365, 2048, THRESHOLDS - 1, THRESHOLDS])
def test_counts_are_those_of_masks_made_with_the_threshold(step: int) -> None:
    images = _images()
    images[0][0][0, 0] = step / THRESHOLDS  # exactly on the threshold: counts as predicted
    tp, fp, fn = counts_at_thresholds(_total(images))[step].unbind(-1)
    expected = _official(images, torch.full((3,), step / THRESHOLDS), "pooled_macro", per_channel=True)
    torch.testing.assert_close(tp / (tp + fp + fn), expected, atol=1e-12, rtol=0)


def test_macro_thresholds_are_the_best_of_all() -> None:
    images = _images()
    fitted = torch.tensor(best_thresholds(_total(images)))
    best = _official(images, fitted, "pooled_macro", per_channel=True)
    for step in range(0, THRESHOLDS + 1, 64):
        scores = _official(images, torch.full((3,), step / THRESHOLDS), "pooled_macro", per_channel=True)
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
    empty = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    for objective in ("macro", "micro"):
        assert best_thresholds(probability_histogram(torch.rand(1, 1, 4, 4), empty), objective) == [0.5]


def test_mistakes() -> None:
    with pytest.raises(InputError, match="differ"):
        probability_histogram(torch.rand(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))
    with pytest.raises(InputError, match="unknown objective 'mean'"):
        best_thresholds(torch.zeros(2, 1, THRESHOLDS + 1), "mean")

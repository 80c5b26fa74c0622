from __future__ import annotations

import numpy as np
import pytest
import torch

from dermaseg_monai.losses import LovaszLoss
from tests.losses.reference import FOUR_LABELS, FOUR_PIXELS, example, lovasz_distances, probabilities


def test_four_pixels() -> None:
    # errors 1/2, 1/4, 1/4 and 1/10: 0.1 with all four wrong, 0.15 at 3 / 4, 0.25 at 1 / 3
    assert LovaszLoss()(FOUR_PIXELS, FOUR_LABELS).item() == pytest.approx(0.295833, abs=5e-7)


@pytest.mark.parametrize("mode", ["binary", "two_class", "multilabel"])
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_agrees_with_the_integral_over_thresholds(mode: str, batch: bool, soft: bool) -> None:
    logits, target = example(mode, soft=soft)
    distances = lovasz_distances(probabilities(logits, mode), target.double().numpy(), batch)
    assert LovaszLoss(mode, batch)(logits, target).item() == pytest.approx(distances.mean(), rel=1e-5)


@pytest.mark.parametrize("batch", [False, True])
def test_certain_predictions_have_the_jaccard_index_itself(batch: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, true = (torch.rand(4, 1, 9, 9, generator=generator) > 0.6 for _ in range(2))
    axes = (0, 2, 3) if batch else (2, 3)
    jaccard = (predicted & true).sum(axes) / (predicted | true).sum(axes)
    loss = LovaszLoss(batch=batch)(torch.where(predicted, 60.0, -60.0), true)
    assert loss.item() == pytest.approx(1 - jaccard.mean().item(), abs=1e-6)


def test_soft_labels_are_matched_best_by_themselves() -> None:
    target = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0)).clamp(0.05, 0.95)
    assert LovaszLoss()(target.logit(), target).item() == pytest.approx(0, abs=1e-6)
    assert LovaszLoss()(target.logit() + 0.1, target) > 0.001


def test_an_empty_mask_costs_the_largest_probability() -> None:
    logits = torch.tensor([[[[0.0, float(np.log(3)), -2.0]]]])
    assert LovaszLoss()(logits, torch.zeros_like(logits)).item() == pytest.approx(0.75)

from __future__ import annotations

from collections.abc import Callable

import monai.losses
import numpy as np
import pytest
import torch

from dermaseg_monai.losses import DiceLoss, FocalTverskyLoss, JaccardLoss, TverskyLoss
from dermaseg_monai.utils.errors import InputError
from tests.losses.reference import FOUR_LABELS, FOUR_PIXELS, example, probabilities, tversky_distances


# True positives 1.65, false positives 0.75, false negatives 0.35.
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (DiceLoss(smooth=1e-9), 0.25),  # 1.1 / 4.4
        (JaccardLoss(smooth=1e-9), 0.4),  # 1.1 / 2.75
        (TverskyLoss(smooth=1e-9), 0.221698),  # 0.47 / 2.12
        (TverskyLoss(alpha=0.7, beta=0.3, smooth=1e-9), 0.276316),  # 0.63 / 2.28
        (FocalTverskyLoss(smooth=1e-9), 0.323088),  # (0.47 / 2.12) ** 0.75
        (FocalTverskyLoss(gamma=1, smooth=1e-9), 0.221698),
        (FocalTverskyLoss(gamma=0.5, smooth=1e-9), 0.049150),
        (DiceLoss(smooth=1.0), 0.171875),  # 0.55 / 3.2
    ],
)
def test_four_pixels(loss: TverskyLoss, expected: float) -> None:
    assert loss(FOUR_PIXELS, FOUR_LABELS).item() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("mode", ["binary", "two_class", "multilabel"])
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smooth", [1e-5, 1.0])
@pytest.mark.parametrize(
    ("make", "alpha", "beta", "exponent"),
    [
        (DiceLoss, 0.5, 0.5, 1),
        (JaccardLoss, 1, 1, 1),
        (lambda *args: TverskyLoss(args[0], 0.2, 0.9, *args[1:]), 0.2, 0.9, 1),
        (lambda *args: FocalTverskyLoss(args[0], 0.2, 0.9, 1.6, *args[1:]), 0.2, 0.9, 1 / 1.6),
    ],
    ids=["dice", "jaccard", "tversky", "focal_tversky"],
)
def test_agrees_with_the_pixelwise_reference(
    mode: str,
    batch: bool,
    soft: bool,
    smooth: float,
    make: Callable[..., TverskyLoss],
    alpha: float,
    beta: float,
    exponent: float,
) -> None:
    logits, target = example(mode, soft=soft)
    distances = tversky_distances(
        probabilities(logits, mode), target.double().numpy(), alpha, beta, batch, smooth
    )
    assert make(mode, batch, smooth)(logits, target).item() == pytest.approx(
        np.mean(distances**exponent), rel=1e-5
    )


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_agrees_with_monai(batch: bool, soft: bool) -> None:
    logits, target = example("multilabel", soft=soft)
    common = {"sigmoid": True, "batch": batch, "soft_label": True}
    # MONAI adds its smoothing to twice the true positives.
    monai_dice = monai.losses.DiceLoss(smooth_nr=2e-3, smooth_dr=2e-3, **common)
    monai_jaccard = monai.losses.DiceLoss(jaccard=True, smooth_nr=2e-3, smooth_dr=2e-3, **common)
    monai_tversky = monai.losses.TverskyLoss(alpha=0.2, beta=0.9, smooth_nr=1e-3, smooth_dr=1e-3, **common)
    for loss, other in (
        (DiceLoss("multilabel", batch, 1e-3), monai_dice),
        (JaccardLoss("multilabel", batch, 1e-3), monai_jaccard),
        (TverskyLoss("multilabel", 0.2, 0.9, batch, 1e-3), monai_tversky),
    ):
        assert loss(logits, target).item() == pytest.approx(other(logits, target).item(), rel=1e-5)


def test_alpha_weighs_false_positives_and_beta_false_negatives() -> None:
    target = torch.zeros(1, 1, 4, 4)
    target[..., :2, :] = 1
    too_much = torch.full((1, 1, 4, 4), 20.0)
    too_little = torch.where(target.cumsum(dim=3) == 1, 20.0, -20.0)
    # 8 right and 8 too many; 2 right and 6 missed.
    assert TverskyLoss(alpha=1, beta=0)(too_much, target).item() == pytest.approx(0.5, abs=1e-5)
    assert TverskyLoss(alpha=0, beta=1)(too_much, target).item() == pytest.approx(0, abs=1e-5)
    assert TverskyLoss(alpha=1, beta=0)(too_little, target).item() == pytest.approx(0, abs=1e-5)
    assert TverskyLoss(alpha=0, beta=1)(too_little, target).item() == pytest.approx(0.75, abs=1e-5)


@pytest.mark.parametrize(("smooth", "expected"), [(1e-5, 0.9999975), (1.0, 0.8), (8.0, 1 / 3)])
def test_empty_masks_cost_what_the_smoothing_says(smooth: float, expected: float) -> None:
    # Sixteen pixels at probability 1/2 are a predicted area of 8, half of which counts.
    loss = DiceLoss(smooth=smooth)(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
    assert loss.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("loss", [DiceLoss(), JaccardLoss(), TverskyLoss()])
def test_soft_labels_are_best_met_exactly(loss: TverskyLoss) -> None:
    target = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    assert loss(target.logit(), target).item() == pytest.approx(0, abs=1e-5)
    assert loss(target.logit() + 0.1, target) > 1e-3
    assert loss(target.logit() * 2, target) > 1e-3


def test_batch_counts_let_full_images_outweigh_empty_ones() -> None:
    target = torch.zeros(2, 1, 4, 4)
    target[0] = 1
    logits = torch.where(target > 0, 20.0, -2.0)
    per_image, whole = DiceLoss()(logits, target), DiceLoss(batch=True)(logits, target)
    area = 16 * torch.tensor(-2.0).sigmoid().item()
    assert per_image.item() == pytest.approx(0.5, abs=1e-4)
    assert whole.item() == pytest.approx(area / (32 + area), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TverskyLoss(alpha=-0.1), "alpha of TverskyLoss must not be negative, but is -0.1"),
        (lambda: FocalTverskyLoss(beta=-1), "beta of FocalTverskyLoss must not be negative"),
        (lambda: FocalTverskyLoss(gamma=0), "gamma of FocalTverskyLoss must be above 0, but is 0"),
        (lambda: DiceLoss(smooth=0), "smooth of DiceLoss must be above 0"),
    ],
)
def test_arguments_out_of_range_are_named(make: Callable[[], TverskyLoss], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()

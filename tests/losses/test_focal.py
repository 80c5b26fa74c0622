from __future__ import annotations

from typing import Any

import monai.losses
import pytest
import torch

from dermaseg_monai.losses import CrossEntropyLoss, FocalLoss
from dermaseg_monai.utils.errors import InputError
from tests.losses.reference import FOUR_LABELS, FOUR_PIXELS, example, focal, probabilities


# Probabilities of the true classes 1/2, 3/4, 3/4 and 9/10; the second and the last are lesion.
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 0.052575),
        ({"gamma": 0}, 0.343468),
        ({"gamma": 1}, 0.125238),
        ({"alpha": 0.25}, 0.037052),
        ({"alpha": 1.0}, 0.004758),
        ({"weight": [0.75, 0.25]}, 0.037052),
        ({"weight": [0, 3]}, 0.014275),
    ],
)
def test_four_pixels(arguments: dict[str, Any], expected: float) -> None:
    loss = FocalLoss("binary", **arguments)(FOUR_PIXELS, FOUR_LABELS)
    assert loss.item() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("gamma", [0, 0.5, 2])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    ("mode", "alpha", "pairs"),
    [
        ("binary", None, [(1, 1)]),
        ("binary", 0.25, [(0.75, 0.25)]),
        ("two_class", 0.25, [(0.75, 0.25)]),
        ("multilabel", 0.25, [(0.75, 0.25)] * 5),
        ("multilabel", [0, 0.3, 0.5, 0.9, 1], [(1, 0), (0.7, 0.3), (0.5, 0.5), (0.1, 0.9), (0, 1)]),
    ],
)
def test_agrees_with_the_pixelwise_reference(
    mode: str, alpha: Any, pairs: list[tuple[float, float]], soft: bool, gamma: float
) -> None:
    logits, target = example(mode, soft=soft)
    expected = focal(probabilities(logits, mode), target.double().numpy(), gamma, pairs)
    assert FocalLoss(mode, gamma, alpha)(logits, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("mode", "weight", "pairs"),
    [
        ("two_class", [1, 3], [(1, 3)]),
        ("multilabel", [1, 2, 3, 4, 5], [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]),
        (
            "multilabel",
            [(1, 2), (0, 3), (1, 0), (1, 1), (0.5, 9)],
            [(1, 2), (0, 3), (1, 0), (1, 1), (0.5, 9)],
        ),
    ],
)
def test_weights_agree_with_the_pixelwise_reference(
    mode: str, weight: Any, pairs: list[tuple[float, float]]
) -> None:
    logits, target = example(mode, soft=True)
    expected = focal(probabilities(logits, mode), target.double().numpy(), 2, pairs)
    assert FocalLoss(mode, weight=weight)(logits, target).item() == pytest.approx(expected, rel=1e-5)
    weighted = FocalLoss(mode, gamma=0, weight=weight)(logits, target)
    assert weighted.item() == pytest.approx(CrossEntropyLoss(mode, weight)(logits, target).item(), rel=1e-6)


@pytest.mark.parametrize("alpha", [None, 0.25])
def test_agrees_with_monai(alpha: float | None) -> None:
    logits, target = example("multilabel")
    expected = monai.losses.FocalLoss(gamma=2, alpha=alpha)(logits, target)
    assert FocalLoss("multilabel", 2, alpha)(logits, target).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_without_focus_it_is_cross_entropy() -> None:
    logits, target = example("multilabel", soft=True)
    expected = CrossEntropyLoss("multilabel")(logits, target)
    assert FocalLoss("multilabel", gamma=0)(logits, target).item() == pytest.approx(expected.item(), rel=1e-6)


def test_extreme_logits_cost_their_size() -> None:
    logits = torch.tensor([-1000.0, 1000.0]).reshape(1, 1, 1, 2).requires_grad_()
    loss = FocalLoss("binary")(logits, torch.ones(1, 1, 1, 2))
    loss.backward()
    assert loss.item() == pytest.approx(500)
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([-0.5, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": -1}, "gamma of FocalLoss must not be negative, but is -1"),
        ({"alpha": 0.5, "weight": [1, 2]}, "both alpha and weight"),
        ({"weight": [1, 2, 3]}, "weight of FocalLoss in mode 'binary' must be two numbers"),
        ({"alpha": 1.5}, r"alpha of FocalLoss must be in \[0, 1\], but is 1.5"),
        ({"mode": "multilabel", "alpha": [0.5, -0.1]}, r"alpha of FocalLoss must be in \[0, 1\]"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FocalLoss(**arguments)


def test_alphas_of_other_channels_are_refused() -> None:
    logits, target = example("multilabel")
    with pytest.raises(InputError, match="logits have 5 channels, but alpha of FocalLoss has 2 numbers"):
        FocalLoss("multilabel", alpha=[0.1, 0.2])(logits, target)

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dermaseg_monai.losses import CrossEntropyLoss, inverse_frequency_weights
from dermaseg_monai.utils.errors import InputError
from tests.losses.reference import FOUR_LABELS, FOUR_PIXELS, example, focal, probabilities


# Natural logarithms of 1/2, 3/4, 3/4 and 9/10, the probabilities of the true classes.
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 0.343468),
        ({"weight": [1, 1]}, 0.343468),
        ({"weight": [2, 0]}, 0.490415),
        ({"weight": [0, 3]}, 0.294782),
        ({"weight": [0.5, 2]}, 0.319125),
        ({"label_smoothing": 0.2}, 0.453329),
    ],
)
def test_four_pixels(arguments: dict[str, Any], expected: float) -> None:
    loss = CrossEntropyLoss("binary", **arguments)(FOUR_PIXELS, FOUR_LABELS)
    assert loss.item() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("mode", "weight", "pairs"),
    [
        ("binary", None, [(1, 1)]),
        ("binary", [0.5, 3], [(0.5, 3)]),
        ("two_class", None, [(1, 1)]),
        ("two_class", [0.5, 3], [(0.5, 3)]),
        ("multilabel", None, [(1, 1)] * 5),
        ("multilabel", [1, 2, 3, 4, 5], [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]),
        (
            "multilabel",
            [[1, 9], [2, 8], [3, 7], [0, 6], [5, 0]],
            [(1, 9), (2, 8), (3, 7), (0, 6), (5, 0)],
        ),
    ],
)
def test_agrees_with_the_pixelwise_reference(
    mode: str, weight: Any, pairs: list[tuple[float, float]], label_smoothing: float, soft: bool
) -> None:
    logits, target = example(mode, soft=soft)
    smoothed = target.double().numpy() * (1 - label_smoothing) + label_smoothing / 2
    expected = focal(probabilities(logits, mode), smoothed, 0, pairs)
    loss = CrossEntropyLoss(mode, weight, label_smoothing)(logits, target)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_two_classes_are_pytorch_s_cross_entropy() -> None:
    logits, target = example("two_class")
    classes = target[:, 0].long()
    smoothed = F.cross_entropy(logits, classes, label_smoothing=0.1)
    assert CrossEntropyLoss("two_class", label_smoothing=0.1)(logits, target).item() == pytest.approx(
        smoothed.item(), rel=1e-6
    )
    # PyTorch divides by the sum of the pixels' weights, here their number.
    lesion = int(classes.sum())
    weight = inverse_frequency_weights([classes.numel() - lesion, lesion])
    weighted = F.cross_entropy(logits, classes, weight=torch.tensor(weight))
    assert CrossEntropyLoss("two_class", weight)(logits, target).item() == pytest.approx(
        weighted.item(), rel=1e-6
    )


@pytest.mark.parametrize("label", [0, 1])
def test_extreme_logits_cost_their_size(label: int) -> None:
    logits = torch.tensor([-1000.0, 1000.0]).reshape(1, 1, 1, 2).requires_grad_()
    for weight in (None, [1.0, 1.0]):
        loss = CrossEntropyLoss("binary", weight)(logits, torch.full((1, 1, 1, 2), label))
        assert loss.item() == pytest.approx(500)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient.flatten().tolist() == pytest.approx([-0.5 * label, 0.5 - 0.5 * label])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": [1, 2, 3]}, r"weight of CrossEntropyLoss in mode 'binary' must be two numbers"),
        ({"weight": [[1, 2]]}, "must be two numbers"),
        ({"mode": "two_class", "weight": [1]}, "must be two numbers"),
        ({"mode": "multilabel", "weight": [[1, 2], [3]]}, "must be one number or one pair per channel"),
        ({"mode": "multilabel", "weight": []}, "must be one number or one pair per channel"),
        ({"mode": "multilabel", "weight": [1, -2]}, "must not be negative"),
        ({"label_smoothing": 1}, r"label_smoothing of CrossEntropyLoss must be in \[0, 1\), but is 1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CrossEntropyLoss(**arguments)


def test_weights_of_other_channels_are_refused() -> None:
    logits, target = example("multilabel")
    with pytest.raises(InputError, match="logits have 5 channels, but weight of CrossEntropyLoss is for 3"):
        CrossEntropyLoss("multilabel", [1, 2, 3])(logits, target)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dermaseg_monai.losses import CrossEntropyLoss, DeepSupervisionLoss, DiceLoss
from dermaseg_monai.utils.errors import InputError
from tests.losses.reference import FOUR_LABELS, FOUR_PIXELS


def outputs(*sizes: tuple[int, int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 1, *size, generator=generator) for size in sizes]


MASK = (torch.rand(2, 1, 8, 12, generator=torch.Generator().manual_seed(1)) > 0.6).byte()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, 1.75),
        ([1, 0.4, 0.2], 1.6),
        ([0, 0, 2], 2.0),
    ],
)
def test_weights_are_those_of_the_outputs(weights: list[float] | None, expected: float) -> None:
    loss = DeepSupervisionLoss(CrossEntropyLoss(), weights)
    plain = CrossEntropyLoss()(FOUR_PIXELS, FOUR_LABELS).item()
    many = loss([FOUR_PIXELS] * 3, FOUR_LABELS)
    assert many.item() == pytest.approx(expected * 0.343468, abs=2e-6)
    assert loss(FOUR_PIXELS, FOUR_LABELS).item() == plain


def test_order_of_a_dictionary_is_final_then_auxiliary() -> None:
    final, middle, coarse = outputs((8, 12), (8, 12), (8, 12))
    loss = DeepSupervisionLoss(DiceLoss(), [1, 0.1, 0.01])
    expected = sum(
        weight * DiceLoss()(logits, MASK).item()
        for weight, logits in ((1, final), (0.1, middle), (0.01, coarse))
    )
    as_dictionary = loss({"auxiliary": [middle, coarse], "logits": final}, MASK)
    assert as_dictionary.item() == pytest.approx(expected, rel=1e-6)
    assert loss((final, middle, coarse), MASK) == as_dictionary


def test_a_dictionary_without_auxiliary_is_its_logits() -> None:
    (final,) = outputs((8, 12))
    assert DeepSupervisionLoss(DiceLoss())({"logits": final}, MASK) == DiceLoss()(final, MASK)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
def test_target_is_averaged_over_the_area_of_coarse_pixels(dtype: torch.dtype) -> None:
    final, coarse = outputs((8, 12), (4, 4))
    shares = MASK.numpy().reshape(2, 1, 4, 2, 4, 3).astype(np.float64).mean(axis=(3, 5))
    p = 1 / (1 + np.exp(-coarse.double().numpy()))
    expected = -np.mean(shares * np.log(p) + (1 - shares) * np.log(1 - p))
    loss = DeepSupervisionLoss(CrossEntropyLoss(), [0, 1])([final, coarse], MASK.to(dtype))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_target_is_repeated_for_finer_logits() -> None:
    (fine,) = outputs((16, 24))
    repeated = MASK.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert DeepSupervisionLoss(DiceLoss())(fine, MASK) == DiceLoss()(fine, repeated)


def test_gradient_reaches_every_output() -> None:
    maps = [logits.requires_grad_() for logits in outputs((8, 12), (4, 6), (3, 5))]
    DeepSupervisionLoss(DiceLoss())({"logits": maps[0], "auxiliary": maps[1:]}, MASK).backward()
    for logits in maps:
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert logits.grad.any()


def test_compiles_without_graph_breaks() -> None:
    final, coarse = outputs((8, 12), (4, 4))
    loss = DeepSupervisionLoss(DiceLoss())
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    maps = {"logits": final, "auxiliary": [coarse]}
    assert compiled(maps, MASK) == loss(maps, MASK)


@pytest.mark.parametrize(
    ("weights", "returned", "message"),
    [
        ([1.0], outputs((8, 12), (8, 12)), "returned 2 outputs, but DeepSupervisionLoss has 1 weights"),
        (None, [], "returned 0 outputs"),
        (None, {"final": outputs((8, 12))[0]}, r"keys \['final'\]; DeepSupervisionLoss needs 'logits'"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    weights: list[float] | None, returned: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        DeepSupervisionLoss(DiceLoss(), weights)(returned, MASK)


def test_negative_weights_are_refused() -> None:
    with pytest.raises(InputError, match="a weight of DeepSupervisionLoss must not be negative"):
        DeepSupervisionLoss(DiceLoss(), [1, -0.5])

"""Checks of every loss on logits and masks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from dermaseg_monai.losses import (
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    FocalTverskyLoss,
    JaccardLoss,
    LovaszLoss,
    TverskyLoss,
    WeightedSum,
)
from dermaseg_monai.utils.errors import InputError
from tests.losses.reference import example

MODES = ("binary", "two_class", "multilabel")


def weighted_cross_entropy(mode: str) -> nn.Module:
    return CrossEntropyLoss(mode, [0.5, 3, 1, 2, 4] if mode == "multilabel" else [0.5, 3])


def balanced_focal(mode: str) -> nn.Module:
    return FocalLoss(mode, alpha=[0.2, 0.3, 0.4, 0.5, 0.6] if mode == "multilabel" else 0.25)


MAKERS: dict[str, Callable[[str], nn.Module]] = {
    "dice": DiceLoss,
    "dice_batch": lambda mode: DiceLoss(mode, batch=True),
    "jaccard": JaccardLoss,
    "tversky": TverskyLoss,
    "focal_tversky": FocalTverskyLoss,
    "lovasz": LovaszLoss,
    "lovasz_batch": lambda mode: LovaszLoss(mode, batch=True),
    "cross_entropy": CrossEntropyLoss,
    "weighted_cross_entropy": weighted_cross_entropy,
    "focal": FocalLoss,
    "balanced_focal": balanced_focal,
    "sum": lambda mode: WeightedSum([DiceLoss(mode), CrossEntropyLoss(mode)], [0.5, 0.5]),
}

for_every_loss = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
in_every_mode = pytest.mark.parametrize("mode", MODES)


def decided(target: Tensor, mode: str, certainty: float) -> Tensor:
    """Logits that predict a target's 0 and 1 with the given margin."""
    z = (2 * target - 1) * certainty
    return torch.cat([-z / 2, z / 2], dim=1) if mode == "two_class" else z


@for_every_loss
@in_every_mode
def test_gradients_are_those_of_the_value(make: Callable[[str], nn.Module], mode: str) -> None:
    logits, target = (x[..., :3, :3] for x in example(mode, torch.float64))
    assert torch.autograd.gradcheck(lambda z: make(mode)(z, target), logits.clone().requires_grad_())


@for_every_loss
@in_every_mode
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("certainty", [0.0, 1.0, 200.0, -200.0])
def test_empty_and_full_masks_are_finite(
    make: Callable[[str], nn.Module], mode: str, value: float, certainty: float
) -> None:
    target = torch.full_like(example(mode)[1], value)
    logits = decided(target, mode, certainty).requires_grad_()
    loss = make(mode)(logits, target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if abs(certainty) < 2:
        assert logits.grad.any()


@for_every_loss
@in_every_mode
def test_perfect_predictions_are_near_zero_and_opposite_ones_are_not(
    make: Callable[[str], nn.Module], mode: str
) -> None:
    target = example(mode)[1]
    assert make(mode)(decided(target, mode, 40), target) == pytest.approx(0, abs=1e-5)
    assert make(mode)(decided(target, mode, -40), target) > 0.9


@for_every_loss
def test_two_classes_agree_with_one_logit(make: Callable[[str], nn.Module]) -> None:
    logits, target = example("binary")
    halves = torch.cat([-logits / 2, logits / 2], dim=1)
    assert make("two_class")(halves, target).item() == pytest.approx(
        make("binary")(logits, target).item(), rel=1e-6
    )
    # The softmax does not see what both logits share.
    assert make("two_class")(halves + 3, target).item() == pytest.approx(
        make("binary")(logits, target).item(), rel=1e-5
    )


@pytest.mark.parametrize(
    "name", [name for name in MAKERS if "weighted" not in name and "balanced" not in name]
)
def test_one_label_agrees_with_one_logit(name: str) -> None:
    logits, target = example("binary")
    assert MAKERS[name]("multilabel")(logits, target) == MAKERS[name]("binary")(logits, target)


@for_every_loss
@in_every_mode
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.float16, torch.float64])
def test_type_of_masks_does_not_matter(
    make: Callable[[str], nn.Module], mode: str, dtype: torch.dtype
) -> None:
    logits, target = example(mode)
    loss = make(mode)(logits, target.to(dtype))
    assert loss.dtype == torch.float32
    assert loss == make(mode)(logits, target)


@for_every_loss
@in_every_mode
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_compared_in_single(
    make: Callable[[str], nn.Module], mode: str, dtype: torch.dtype
) -> None:
    logits, target = example(mode)
    logits = logits.to(dtype)
    with torch.autocast("cpu", dtype=dtype):
        loss = make(mode)(logits, target)
    assert loss.dtype == torch.float32
    assert loss == make(mode)(logits.float(), target)


@for_every_loss
@in_every_mode
def test_training_step_under_autocast_is_close_to_single_precision(
    make: Callable[[str], nn.Module], mode: str
) -> None:
    # Large enough that sums of half-precision pixels would overflow float16 and lose bfloat16's digits.
    target = torch.zeros(1, {"binary": 1, "two_class": 1, "multilabel": 5}[mode], 300, 300)
    target[..., 40:270, 50:280] = 1
    torch.manual_seed(0)
    network = nn.Conv2d(3, 2 if mode == "two_class" else target.shape[1], 1)
    images = torch.randn(1, 3, 300, 300) + target[:, :1]
    losses = {}
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            losses[enabled] = make(mode)(network(images), target)
        losses[enabled].backward()
    assert losses[True].item() == pytest.approx(losses[False].item(), rel=2e-3)
    assert network.weight.grad is not None
    assert network.weight.grad.isfinite().all()


@for_every_loss
@in_every_mode
def test_values_are_never_read_back_from_the_device(make: Callable[[str], nn.Module], mode: str) -> None:
    # Tensors of the meta device have no values: reading one, or mixing in one of the host, fails.
    logits, target = (x.to("meta") for x in example(mode))
    assert make(mode)(logits.requires_grad_(), target).shape == ()


@for_every_loss
@in_every_mode
def test_compiles_without_graph_breaks(make: Callable[[str], nn.Module], mode: str) -> None:
    logits, target = example(mode)
    loss = make(mode)
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    assert compiled(logits, target.byte()) == loss(logits, target.byte())


@for_every_loss
@in_every_mode
def test_of_monai_tensors_is_a_plain_tensor(make: Callable[[str], nn.Module], mode: str) -> None:
    logits, target = example(mode)
    loss = make(mode)(MetaTensor(logits), MetaTensor(target))
    assert type(loss) is Tensor
    assert loss == make(mode)(logits, target)


@for_every_loss
@pytest.mark.parametrize(
    ("mode", "logits", "target", "message"),
    [
        ("binary", (2, 2, 4, 4), (2, 1, 4, 4), r"logits have shape \(2, 2, 4, 4\).*takes \(B, 1, H, W\)"),
        ("two_class", (2, 1, 4, 4), (2, 1, 4, 4), r"takes \(B, 2, H, W\)"),
        ("multilabel", (5, 4, 4), (5, 4, 4), r"takes \(B, C, H, W\)"),
        ("binary", (2, 1, 4, 4), (2, 1, 4, 5), r"target has shape \(2, 1, 4, 5\).*takes \(2, 1, 4, 4\)"),
        ("binary", (2, 1, 4, 4), (1, 1, 4, 4), r"takes \(2, 1, 4, 4\)"),
        ("two_class", (2, 2, 4, 4), (2, 2, 4, 4), r"takes \(2, 1, 4, 4\)"),
        ("multilabel", (2, 5, 4, 4), (2, 1, 4, 4), r"takes \(2, 5, 4, 4\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(
    make: Callable[[str], nn.Module],
    mode: str,
    logits: tuple[int, ...],
    target: tuple[int, ...],
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        make(mode)(torch.zeros(logits), torch.zeros(target))


@for_every_loss
def test_outputs_of_deep_supervision_are_refused(make: Callable[[str], nn.Module]) -> None:
    with pytest.raises(InputError, match="got dict; wrap it in DeepSupervisionLoss"):
        make("binary")({"logits": torch.zeros(1, 1, 4, 4)}, torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("name", [name for name in MAKERS if "weighted" not in name])
def test_unknown_modes_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"mode is 'softmax'.*binary, two_class, multilabel"):
        MAKERS[name]("softmax")

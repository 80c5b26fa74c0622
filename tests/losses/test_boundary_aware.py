from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.losses.boundary_aware import BoundaryAwareLoss, contour_band
from dermaseg_monai.utils.errors import InputError


class Overlap(nn.Module):
    """Plain cross-entropy of one or two logits, standing in for any overlap loss."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if logits.shape[1] == 2:
            logits = logits[:, 1:] - logits[:, :1]
        return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def blobs(batch: int, height: int, width: int) -> Tensor:
    """Random masks of a few blobs."""
    noise = np.random.default_rng(0).standard_normal((batch, 1, height, width))
    return torch.from_numpy((ndimage.gaussian_filter(noise, (0, 0, 2, 2)) > 0).astype(np.float32))


def random_outputs(channels: int, size: tuple[int, int, int] = (2, 9, 11)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch, height, width = size
    widths = {"logits": channels, "region": channels, "boundary": 1, "uncertainty": 1}
    return {
        name: torch.randn(batch, width_, height, width, generator=generator)
        for name, width_ in widths.items()
    }


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return -(target * np.log(sigmoid(logits)) + (1 - target) * np.log(1 - sigmoid(logits)))


def band_reference(mask: np.ndarray, width: int) -> np.ndarray:
    size = (1, 1, 2 * width + 1, 2 * width + 1)
    return ndimage.grey_dilation(mask, size, mode="nearest") - ndimage.grey_erosion(
        mask, size, mode="nearest"
    )


def reference(outputs: dict[str, Tensor], target: Tensor, weights: dict[str, float], width: int) -> float:
    arrays = {name: value.double().numpy() for name, value in outputs.items()}
    mask = target.double().numpy()
    lesion = {
        name: arrays[name][:, -1:] - (arrays[name][:, :1] if arrays[name].shape[1] == 2 else 0)
        for name in ("logits", "region")
    }
    loss = cross_entropy(lesion["logits"], mask).mean()
    loss += weights["region_weight"] * cross_entropy(lesion["region"], mask).mean()
    band = band_reference(mask, width)
    pixelwise = cross_entropy(arrays["boundary"], band)
    balanced = (pixelwise[band == 1].mean() + pixelwise[band == 0].mean()) / 2
    loss += weights["boundary_weight"] * balanced
    wrong = (sigmoid(lesion["region"]) > 0.5) != mask
    loss += weights["uncertainty_weight"] * cross_entropy(arrays["uncertainty"], wrong).mean()
    edges, boundary = band_reference(sigmoid(lesion["logits"]), width), sigmoid(arrays["boundary"])
    distances = [
        1 - (2 * (edge * other).sum() + 1) / ((edge**2).sum() + (other**2).sum() + 1)
        for edge, other in zip(edges, boundary, strict=True)
    ]
    return float(loss + weights["consistency_weight"] * np.mean(distances))


def test_band_of_a_square() -> None:
    mask = torch.zeros(1, 1, 7, 7)
    mask[..., 2:5, 2:5] = 1
    expected = torch.tensor(
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 1, 1, 0, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ],
        dtype=torch.float32,
    )
    torch.testing.assert_close(contour_band(mask, 1)[0, 0], expected)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_band_equals_the_morphological_gradient(width: int) -> None:
    mask = blobs(2, 24, 31)
    band = contour_band(mask, width)
    np.testing.assert_array_equal(band.numpy(), band_reference(mask.numpy(), width))
    assert 0 < band.mean() < 1


def test_the_frame_is_no_contour() -> None:
    mask = torch.ones(1, 1, 8, 8)
    assert contour_band(mask, 2).sum() == 0
    mask[..., 4:] = 0
    assert contour_band(mask, 1)[0, 0].sum(dim=0).tolist() == [0, 0, 0, 8, 8, 0, 0, 0]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("width", [1, 2])
def test_equals_the_reference(channels: int, width: int) -> None:
    weights = {
        "region_weight": 0.7,
        "boundary_weight": 0.3,
        "uncertainty_weight": 0.9,
        "consistency_weight": 0.5,
    }
    outputs, target = random_outputs(channels, (2, 24, 31)), blobs(2, 24, 31)
    loss = BoundaryAwareLoss(Overlap(), **weights, band_width=width)(outputs, target)
    assert loss.item() == pytest.approx(reference(outputs, target, weights, width), rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((0, 0, 0, 0), math.log(2)),
        ((0.5, 0, 0, 0), 1.5 * math.log(2)),
        # No pixel lies in the band; the rest weighs half.
        ((0, 1, 0, 0), 1.5 * math.log(2)),
        # Ties count as background, which is right everywhere.
        ((0, 0, 1, 0), 2 * math.log(2)),
        # A flat prediction has no edge; the boundary head says 0.5 on 16 pixels.
        ((0, 0, 0, 1), math.log(2) + 1 - 1 / (16 * 0.25 + 1)),
    ],
)
def test_terms_of_zero_logits_on_an_empty_mask(weights: tuple[float, ...], expected: float) -> None:
    outputs = {name: torch.zeros(1, 1, 4, 4) for name in ("logits", "region", "boundary", "uncertainty")}
    loss = BoundaryAwareLoss(Overlap(), *weights)(outputs, torch.zeros(1, 1, 4, 4))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_right_answers_cost_nothing_and_wrong_ones_much() -> None:
    mask = blobs(2, 24, 24)
    band = contour_band(mask, 2)
    right = {
        "logits": 40 * mask - 20,
        "region": 40 * mask - 20,
        "boundary": 40 * band - 20,
        "uncertainty": torch.full_like(mask, -20),
    }
    loss = BoundaryAwareLoss(Overlap(), 1, 1, 1, 1)
    assert loss(right, mask) < 1e-3
    for name in right:
        assert loss({**right, name: -right[name]}, mask) > 0.1


@pytest.mark.parametrize("missing", ["boundary", "uncertainty"])
def test_a_missing_head_takes_its_terms_with_it(missing: str) -> None:
    outputs, target = random_outputs(2), blobs(2, 9, 11)
    weights = {"boundary": (1, 1, 0, 1, 0), "uncertainty": (1, 1, 1, 0, 1)}
    region, *_ = weights[missing]
    complete = {"boundary": [region, 0, 1, 0], "uncertainty": [region, 1, 0, 1]}[missing]
    expected = BoundaryAwareLoss(Overlap(), *complete)(outputs, target)
    del outputs[missing]
    torch.testing.assert_close(BoundaryAwareLoss(Overlap(), 1, 1, 1, 1)(outputs, target), expected)


def test_a_tensor_gets_the_overlap_loss_alone() -> None:
    logits, target = random_outputs(2)["logits"], blobs(2, 9, 11)
    torch.testing.assert_close(BoundaryAwareLoss(Overlap())(logits, target), Overlap()(logits, target))


def test_each_head_learns_from_the_mask_alone() -> None:
    target = blobs(2, 9, 11)
    outputs = {name: value.requires_grad_() for name, value in random_outputs(2).items()}
    BoundaryAwareLoss(Overlap(), 0, 0, 0, 1)(outputs, target).backward()
    assert outputs["boundary"].grad is None or not outputs["boundary"].grad.any()
    consistency = outputs["logits"].grad
    alone = outputs["logits"].detach().requires_grad_()
    Overlap()(alone, target).backward()
    assert not torch.allclose(consistency, alone.grad)
    outputs = {name: value.detach().requires_grad_() for name, value in outputs.items()}
    BoundaryAwareLoss(Overlap(), 0, 0, 1, 0)(outputs, target).backward()
    assert not outputs["region"].grad.any()
    assert outputs["uncertainty"].grad.abs().max() > 0


@pytest.mark.parametrize("channels", [1, 2])
def test_gradcheck(channels: int) -> None:
    outputs = random_outputs(channels, (1, 5, 6))
    names = ["logits", "region", "boundary", "uncertainty"]
    target = blobs(1, 5, 6)
    # Without consistency for the boundary head, whose part in it is detached on purpose.
    for checked, weights in [
        (names, (0.4, 0.2, 0.2, 0.0)),
        (["logits"], (0.0, 0.0, 0.0, 1.0)),
    ]:
        loss = BoundaryAwareLoss(Overlap(), *weights, band_width=1)
        fixed = {name: value.double() for name, value in outputs.items()}

        def total(*values: Tensor, checked: list[str] = checked, loss: nn.Module = loss) -> Tensor:
            return loss({**fixed, **dict(zip(checked, values, strict=True))}, target)  # noqa: B023

        assert torch.autograd.gradcheck(total, [fixed[name].clone().requires_grad_() for name in checked])


@pytest.mark.parametrize("value", [0, 1], ids=["empty", "full"])
@pytest.mark.parametrize("scale", [1, 1000])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
def test_empty_and_full_masks_are_finite(value: int, scale: float, dtype: torch.dtype) -> None:
    outputs = {name: (scale * tensor).requires_grad_() for name, tensor in random_outputs(2).items()}
    loss = BoundaryAwareLoss(Overlap())(outputs, torch.full((2, 1, 9, 11), value).to(dtype))
    loss.backward()
    assert loss.isfinite()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in outputs.values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_outputs_are_judged_in_single_precision(dtype: torch.dtype) -> None:
    target = blobs(2, 96, 96)
    outputs = {name: tensor.to(dtype) for name, tensor in random_outputs(2, (2, 96, 96)).items()}
    loss = BoundaryAwareLoss(Overlap())
    result = loss(outputs, target)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, loss({name: x.float() for name, x in outputs.items()}, target))
    with torch.autocast("cpu", dtype=dtype):
        torch.testing.assert_close(loss(outputs, target), result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"region_weight": -1}, "region_weight .* is -1"), ({"band_width": 0}, "at least 1, but is 0")],
)
def test_wrong_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BoundaryAwareLoss(Overlap(), **arguments)

"""Masks without probabilities in between: the same, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Compose

from dermaseg_monai.transforms import FillHolesd, RestoreSized, Thresholdd
from dermaseg_monai.transforms.restore_mask import RestoreMaskd, divide, fuse_restoring

SIZES = [(24, 32), (300, 400), (97, 211), (24, 333), (333, 32), (11, 13), (1, 1)]


def smooth(seed: int, channels: int = 1, size: tuple[int, int] = (24, 32)) -> torch.Tensor:
    """Probabilities with soft edges and flat parts at 0 and 1."""
    noise = torch.rand(1, channels, 6, 8, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(noise, size=size, mode="bicubic")[0] * 3 - 1).clamp(0, 1)


def enlarged(probability: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    return F.interpolate(probability[None], size=size, mode="bilinear", align_corners=False)[0].numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threshold", [0.5, 0.0, 1.0, 0.237])
def test_divided_as_by_interpolation(size: tuple[int, int], threshold: float) -> None:
    for seed in range(3):
        probability = smooth(seed)
        full = enlarged(probability, size)[0]
        assert np.array_equal(divide(probability[0], size, threshold), full >= np.float32(threshold))


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("size", [(300, 400), (97, 211), (48, 1000)])
def test_pixels_at_the_threshold_are_in(size: tuple[int, int], channels: int) -> None:
    probability = smooth(5, channels)
    for channel, full in zip(probability, enlarged(probability, size), strict=True):
        inner = full[(full > 0.1) & (full < 0.9)]
        for level in inner[:: len(inner) // 20]:  # the values of single pixels, which rounding alone decides
            assert np.array_equal(divide(channel, size, float(level)), full >= level)
    flat = torch.full((1, 4, 4), 0.5)
    assert np.array_equal(divide(flat[0], (9, 9), 0.5), enlarged(flat, (9, 9))[0] >= 0.5)


def item(
    channels: int, extent: tuple[float, ...], content: tuple[float, ...] | None = None
) -> dict[str, Any]:
    meta: dict[str, Any] = {"original_size": (300, 400), "extent": extent, "filename_or_obj": "a.jpg"}
    if content is not None:
        meta["content"] = content
    image = MetaTensor(torch.zeros(3, 24, 32), meta=meta)
    return {"id": "a", "image": image, "pred": smooth(7, channels), "uncertainty": smooth(8)}


@pytest.mark.parametrize("threshold", [0.5, [0.3, 0.0, 0.9]])
@pytest.mark.parametrize(
    ("extent", "content"),
    [
        ((0.0, 0.0, 24.0, 32.0), None),
        ((-3.0, -2.5, 26.0, 40.0), None),  # cropped
        ((4.0, 0.0, 20.0, 32.0), (4.0, 0.0, 20.0, 32.0)),  # padded
    ],
)
def test_one_step_is_the_two(threshold: Any, extent: Any, content: Any) -> None:
    restore = RestoreSized(("pred", "uncertainty"), allow_missing_keys=True)
    steps = Compose([restore, Thresholdd("pred", threshold), FillHolesd()])
    fused = fuse_restoring(steps)
    assert [type(step) for step in fused.transforms] == [RestoreMaskd, FillHolesd]
    assert len(steps.transforms) == 3
    items = item(3 if isinstance(threshold, list) else 1, extent, content)
    expected, result = steps(items), fused(items)
    assert set(result) == set(expected)
    for key in ("pred", "uncertainty"):
        assert result[key].dtype == expected[key].dtype
        assert torch.equal(result[key].as_tensor(), expected[key].as_tensor())
        for name in ("original_size", "extent", "filename_or_obj"):
            assert result[key].meta[name] == expected[key].meta[name]
    assert result["pred"].shape[-2:] == (300, 400)


def test_steps_apart_stay_apart() -> None:
    steps = [RestoreSized("pred"), FillHolesd(), Thresholdd("pred")]
    assert list(fuse_restoring(Compose(steps)).transforms) == steps

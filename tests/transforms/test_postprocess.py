from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from dermaseg_monai.transforms import (
    Closingd,
    FillHolesd,
    ForegroundProbabilityd,
    LargestComponentd,
    Openingd,
    RemoveSmalld,
    Thresholdd,
)
from dermaseg_monai.utils.errors import InputError


def _mask(*rows: str) -> torch.Tensor:
    return torch.tensor([[int(cell == "#") for cell in row] for row in rows], dtype=torch.uint8)[None]


def _run(transform: MapTransform, mask: torch.Tensor) -> torch.Tensor:
    return transform({"pred": mask})["pred"]


def _blobs(seed: int, shape: tuple[int, int] = (61, 83)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2.5)
    return noise > np.quantile(noise, [0.3, 0.5, 0.7][seed % 3])


def test_foreground_literal_values() -> None:
    logits = torch.tensor([[[0.0, math.log(3)]], [[math.log(3), 0.0]]])
    both = ForegroundProbabilityd(mode="multilabel")({"pred": logits})["pred"]
    torch.testing.assert_close(both, torch.tensor([[[0.5, 0.75]], [[0.75, 0.5]]]))
    torch.testing.assert_close(
        ForegroundProbabilityd(mode="binary")({"pred": logits[:1]})["pred"], torch.tensor([[[0.5, 0.75]]])
    )
    two = ForegroundProbabilityd(mode="two_class")({"pred": logits})["pred"]
    torch.testing.assert_close(two, torch.tensor([[[0.75, 0.25]]]))
    torch.testing.assert_close(two, logits.softmax(0)[1:])


def test_foreground_errors() -> None:
    with pytest.raises(InputError, match="mode is 'multiclass'"):
        ForegroundProbabilityd(mode="multiclass")
    with pytest.raises(InputError, match="mode 'binary' needs"):
        ForegroundProbabilityd()({"pred": torch.zeros(2, 4, 4)})
    with pytest.raises(InputError, match="mode 'two_class' needs"):
        ForegroundProbabilityd(mode="two_class")({"pred": torch.zeros(1, 4, 4)})


def test_threshold() -> None:
    probability = torch.tensor([[[0.49, 0.5, 0.51]], [[0.2, 0.3, 0.4]]])
    assert _run(Thresholdd(), probability).tolist() == [[[0, 1, 1]], [[0, 0, 0]]]
    assert _run(Thresholdd(threshold=[0.51, 0.3]), probability).tolist() == [[[0, 0, 1]], [[0, 1, 1]]]
    assert _run(Thresholdd(), probability).dtype == torch.uint8
    with pytest.raises(InputError, match="3 thresholds are given, but 'pred' has 2 channels"):
        _run(Thresholdd(threshold=[0.1, 0.2, 0.3]), probability)


def test_largest_component_literal() -> None:
    before = _mask("##..#", "#...#", "....#", ".#..#")
    assert torch.equal(_run(LargestComponentd(), before), _mask("....#", "....#", "....#", "....#"))
    diagonal = _mask("#...", ".#..", "..#.", "....", "##..")
    assert torch.equal(_run(LargestComponentd(), diagonal), _mask("#...", ".#..", "..#.", "....", "...."))
    assert not _run(LargestComponentd(), torch.zeros(1, 4, 5, dtype=torch.uint8)).any()


def test_fill_holes_literal() -> None:
    before = _mask(".####", ".#..#", ".####", "#...#", "##.##")
    after = _mask(".####", ".####", ".####", "#...#", "##.##")
    assert torch.equal(_run(FillHolesd(), before), after)
    # a diagonal gap does not open a hole; the photo's border does
    assert torch.equal(_run(FillHolesd(), _mask(".#.", "#.#", ".#.")), _mask(".#.", "###", ".#."))
    assert torch.equal(_run(FillHolesd(), _mask("#.#", "###")), _mask("#.#", "###"))


@pytest.mark.parametrize("seed", range(6))
def test_holes_and_components_agree_with_scipy(seed: int) -> None:
    mask = _blobs(seed)
    tensor = torch.from_numpy(mask.astype(np.uint8))[None]
    assert np.array_equal(_run(FillHolesd(), tensor)[0].numpy(), ndimage.binary_fill_holes(mask))
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
    assert np.array_equal(_run(LargestComponentd(), tensor)[0].numpy(), labels == 1 + int(np.argmax(sizes)))


def test_remove_small() -> None:
    before = _mask("##...", "##..#", ".....", "..###")  # areas 4, 1 and 3 of 20
    assert torch.equal(_run(RemoveSmalld(min_share=0.15), before), _mask("##...", "##...", ".....", "..###"))
    assert torch.equal(_run(RemoveSmalld(min_share=0.2), before), _mask("##...", "##...", ".....", "....."))
    assert torch.equal(_run(RemoveSmalld(min_share=0), before), before)
    assert not _run(RemoveSmalld(min_share=0.21), before).any()


def _disc(radius: float) -> np.ndarray:
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return y * y + x * x <= radius * radius


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pixels", [1.0, 1.5, 2.9, 5.0, 8.3])
def test_opening_and_closing_agree_with_scipy(seed: int, pixels: float) -> None:
    mask = _blobs(seed)
    tensor = torch.from_numpy(mask.astype(np.uint8))[None]
    radius = pixels * (1 + 1e-9) / math.hypot(*mask.shape)
    disc = _disc(pixels)
    opened = ndimage.binary_dilation(ndimage.binary_erosion(mask, disc, border_value=1), disc)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(mask, disc), disc, border_value=1)
    assert np.array_equal(_run(Openingd(radius=radius), tensor)[0].numpy(), opened)
    assert np.array_equal(_run(Closingd(radius=radius), tensor)[0].numpy(), closed)
    assert not np.array_equal(opened, mask)
    assert not np.array_equal(closed, mask)


def test_morphology_edge_cases() -> None:
    for value in (0, 1):
        mask = torch.full((1, 12, 16), value, dtype=torch.uint8)
        for transform in (Openingd(radius=0.1), Closingd(radius=0.1)):
            assert torch.equal(_run(transform, mask), mask)
    thin = torch.ones(1, 1, 400, dtype=torch.uint8)  # the disc reaches over the only row
    thin[..., 200] = 0
    assert bool(_run(Closingd(radius=0.05), thin).all())
    speck = _mask("....", ".#..", "....")
    assert torch.equal(_run(Openingd(radius=0.1), speck), speck)  # below a pixel nothing happens
    huge = torch.ones(1, 300, 4000, dtype=torch.uint8)  # a radius beyond 255 pixels
    huge[:, 100:103, 50:] = 0
    assert bool(_run(Closingd(radius=0.08), huge).all())


ALL: list[MapTransform] = [
    LargestComponentd(),
    FillHolesd(),
    RemoveSmalld(),
    Openingd(radius=0.02),
    Closingd(radius=0.02),
]


@pytest.mark.parametrize("transform", ALL, ids=lambda transform: type(transform).__name__)
def test_masks_keep_meta_channels_and_input(transform: MapTransform) -> None:
    empty = np.zeros((61, 83), dtype=bool)
    mask = torch.from_numpy(np.stack([_blobs(0), _blobs(1), _blobs(2), empty]).astype(np.uint8))
    item: dict[str, Any] = {"pred": MetaTensor(mask.clone(), meta={"filename_or_obj": "a.jpg"}), "id": 1}
    result = transform(item)
    assert result["pred"].meta["filename_or_obj"] == "a.jpg"
    assert result["pred"].dtype == torch.uint8
    assert result["id"] == 1
    assert torch.equal(item["pred"].as_tensor(), mask)
    assert not result["pred"][3].any()
    for channel in range(3):
        alone = _run(transform, mask[channel : channel + 1])
        assert torch.equal(result["pred"][channel].as_tensor(), alone[0])


def test_errors() -> None:
    with pytest.raises(InputError, match="threshold first"):
        _run(FillHolesd(), torch.zeros(1, 4, 4))
    with pytest.raises(InputError, match=r"radius is 0\.5"):
        Openingd(radius=0.5)
    with pytest.raises(InputError, match="radius is -1"):
        Closingd(radius=-1)
    with pytest.raises(InputError, match="min_share is 2"):
        RemoveSmalld(min_share=2)

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torchvision.transforms.v2 import functional as tv

from dermaseg_monai.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    NormalisePhotod,
    denormalise_photo,
    normalise_photo,
)
from dermaseg_monai.utils.errors import InputError


def test_literal_values() -> None:
    image = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 3).repeat(3, 1, 1)
    result = normalise_photo(image)
    expected = [
        [-2.117904, 2.248908, -1.244541],
        [-2.035714, 2.428571, -1.142857],
        [-1.804444, 2.640000, -0.915556],
    ]
    torch.testing.assert_close(result[:, 0], torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_agrees_with_torchvision(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    image = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = image.clone()
    expected = tv.normalize(image.float() / 255, list(IMAGENET_MEAN), list(IMAGENET_STD))
    result = NormalisePhotod()({"image": image})["image"]
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, atol=2e-6, rtol=1e-6)
    assert torch.equal(image, before)


def test_keeps_meta() -> None:
    image = MetaTensor(torch.zeros(3, 4, 4, dtype=torch.uint8), meta={"filename_or_obj": "a.jpg"})
    result = NormalisePhotod()({"image": image})["image"]
    assert isinstance(result, MetaTensor)
    assert result.meta["filename_or_obj"] == "a.jpg"


def test_own_statistics() -> None:
    result = normalise_photo(torch.full((1, 2, 2), 255.0), mean=[0.5], std=[0.25])
    np.testing.assert_allclose(result.numpy(), 2.0, rtol=1e-6)


def test_errors() -> None:
    with pytest.raises(InputError, match=r"shape \(1, 4, 4\)"):
        normalise_photo(torch.zeros(1, 4, 4))
    with pytest.raises(InputError, match="positive"):
        NormalisePhotod(std=(0.2, 0.0, 0.2))
    with pytest.raises(InputError, match="per channel"):
        NormalisePhotod(mean=(0.5,))


def test_what_was_normalised_is_shown_in_its_own_colours() -> None:
    photo = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    assert torch.equal(denormalise_photo(normalise_photo(photo)), photo)
    statistics = {"mean": [0.7, 0.6, 0.5], "std": [0.1, 0.2, 0.3]}
    assert torch.equal(denormalise_photo(normalise_photo(photo, **statistics), **statistics), photo)

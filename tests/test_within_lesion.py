"""Attributes inside and outside a lesion drawn by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dermaseg_monai.errors import InputError
from dermaseg_monai.within_lesion import WithinLesion, restricted


class LeftHalf(nn.Module):
    """Finds a lesion in the left half of every photo whose first pixel is positive."""

    def forward(self, image: Tensor) -> Tensor:
        logits = torch.full((len(image), 1, *image.shape[-2:]), -3.0)
        logits[image[:, 0, 0, 0] > 0, :, :, : image.shape[-1] // 2] = 3.0
        return logits


class Everywhere(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.ones(len(image), 5, *image.shape[-2:])


def test_outside_the_lesion_nothing_is_left() -> None:
    network = WithinLesion(Everywhere(), LeftHalf(), "binary", (8, 8))
    logits = network(torch.ones(1, 3, 16, 16))
    assert (logits[..., :8] == 1).all()
    assert (logits[..., 8:].sigmoid() < 1e-6).all()


def test_photos_without_a_lesion_are_left_alone() -> None:
    images = torch.stack([torch.ones(3, 8, 8), -torch.ones(3, 8, 8)])
    logits = WithinLesion(Everywhere(), LeftHalf(), "binary", (8, 8))(images)
    assert (logits[0, :, :, 4:] < 0).all()
    assert (logits[1] == 1).all()


def test_only_lesion_bundles_restrict() -> None:
    network = Everywhere()
    assert restricted(network, None) is network
    with pytest.raises(InputError, match="give a lesion bundle"):
        restricted(network, "attribute_unet")
    with pytest.raises(InputError, match="takes prompts"):
        restricted(network, "lesion_medsam")

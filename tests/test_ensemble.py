"""Ensembles against a mean computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dermaseg_monai.ensemble import Ensemble, with_members
from dermaseg_monai.errors import InputError


class Constant(nn.Module):
    """Gives the same logits for every pixel."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)
        self.seen: tuple[int, ...] = ()

    def forward(self, image: Tensor) -> Tensor:
        self.seen = tuple(image.shape[-2:])
        return self.logits[None, :, None, None].expand(len(image), -1, *image.shape[-2:])


def test_weighted_mean_of_probabilities_over_modes_and_sizes() -> None:
    binary, two_class = Constant(1.0), Constant(0.5, -1.5)
    ensemble = Ensemble([binary, two_class], ["binary", "two_class"], [(16, 24), (8, 8)], weights=[3, 1])
    logits = ensemble(torch.rand(2, 3, 16, 24))
    expected = 0.75 * torch.sigmoid(torch.tensor(1.0)) + 0.25 * torch.sigmoid(torch.tensor(-2.0))
    assert logits.shape == (2, 1, 16, 24)
    torch.testing.assert_close(logits.sigmoid(), expected.expand_as(logits), atol=1e-6, rtol=0)
    assert (binary.seen, two_class.seen) == ((16, 24), (8, 8))


def test_two_class_first_member_gives_two_channels() -> None:
    ensemble = Ensemble([Constant(0.0, 2.0), Constant(0.0)], ["two_class", "binary"], [(8, 8)] * 2)
    logits = ensemble(torch.rand(1, 3, 8, 8))
    expected = (torch.sigmoid(torch.tensor(2.0)) + 0.5) / 2
    torch.testing.assert_close(logits.softmax(dim=1)[:, 1], expected.expand(1, 8, 8), atol=1e-6, rtol=0)


def test_no_members_leave_the_network_as_it_is() -> None:
    network = Constant(0.0)
    assert with_members(network, "binary", (8, 8), []) is network


def test_impossible_weights() -> None:
    with pytest.raises(InputError, match="2 members got 1 weights"):
        Ensemble([Constant(0.0)] * 2, ["binary"] * 2, [(8, 8)] * 2, weights=[1.0])
    with pytest.raises(InputError, match="at least 0 and not all 0"):
        Ensemble([Constant(0.0)] * 2, ["binary"] * 2, [(8, 8)] * 2, weights=[0.0, 0.0])


def test_unknown_member() -> None:
    with pytest.raises(InputError, match="'lesion_vnet' is neither the folder of a bundle"):
        with_members(Constant(0.0), "binary", (8, 8), ["lesion_vnet"])


def test_member_that_takes_prompts() -> None:
    with pytest.raises(InputError, match="'lesion_sam' takes prompts"):
        with_members(Constant(0.0), "binary", (8, 8), ["lesion_sam"])

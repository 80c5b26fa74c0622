"""Sampling weights against counts made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dermaseg_monai.data.sampling import repeat_factors
from dermaseg_monai.utils.errors import InputError


def _dataset(*presence: tuple[int, ...]) -> SimpleNamespace:
    labels = torch.zeros(len(presence), len(presence[0]), 4, 4, dtype=torch.uint8)
    labels[:, :, 1, 2] = torch.tensor(presence, dtype=torch.uint8)
    return SimpleNamespace(pixels=SimpleNamespace(labels=labels))


def test_images_weigh_by_their_rarest_channel() -> None:
    # the first channel is in all, the second in a quarter, the third in none
    dataset = _dataset((1, 0, 0), (1, 1, 0), (1, 0, 0), (1, 0, 0))
    assert repeat_factors(dataset, 0.5).tolist() == pytest.approx([1, 2**0.5, 1, 1])
    assert repeat_factors(dataset, 0.25).tolist() == [1, 1, 1, 1]


def test_images_with_nothing_weigh_one() -> None:
    assert repeat_factors(_dataset((0,), (0,), (1,)), 1.0).tolist() == pytest.approx([1, 1, 3**0.5])


def test_zero_means_no_weights() -> None:
    assert repeat_factors(_dataset((1,)), 0) is None
    with pytest.raises(InputError, match="rare_below is 2"):
        repeat_factors(_dataset((1,)), 2)

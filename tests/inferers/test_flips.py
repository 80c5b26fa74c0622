"""Averaging over mirrored views, against the same thing written out."""

from __future__ import annotations

import pytest
import torch

from dermaseg_monai.inferers import FlipInferer
from dermaseg_monai.utils.errors import InputError

FLIPS = {"horizontal": [3], "vertical": [2], "both": [2, 3]}
CHANNELS = {"binary": 1, "two_class": 2, "multilabel": 5}


@pytest.fixture(params=CHANNELS)
def mode(request) -> str:
    return request.param


def network(mode: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, CHANNELS[mode], 3, padding=1).double()


def probabilities(logits: torch.Tensor, mode: str) -> torch.Tensor:
    return logits.softmax(1) if mode == "two_class" else logits.sigmoid()


@pytest.mark.parametrize("flips", [["horizontal"], ["vertical", "both"], ["horizontal", "vertical", "both"]])
def test_the_mean_of_the_views_probabilities(mode, flips) -> None:
    model, images = network(mode), torch.randn(3, 3, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        views = [probabilities(model(images), mode)]
        views += [probabilities(model(images.flip(FLIPS[name])), mode).flip(FLIPS[name]) for name in flips]
        logits = FlipInferer(flips, mode)(images, model)
    expected = sum(views) / len(views)
    assert logits.shape == (3, CHANNELS[mode], 5, 7)
    torch.testing.assert_close(probabilities(logits, mode).double(), expected, atol=1e-6, rtol=0)
    assert not torch.allclose(expected, views[0], atol=1e-3)


def test_no_flips_give_the_networks_own_logits(mode) -> None:
    model, images = network(mode), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert torch.equal(FlipInferer((), mode)(images, model), model(images))


def test_all_views_pass_through_the_network_together() -> None:
    calls = []
    FlipInferer(["horizontal", "vertical", "both"])(
        torch.zeros(2, 3, 4, 4), lambda views: calls.append(views.shape) or views[:, :1]
    )
    assert calls == [(8, 3, 4, 4)]


def test_a_sure_network_gives_finite_logits(mode) -> None:
    logits = FlipInferer(["horizontal"], mode)(
        torch.zeros(1, 3, 2, 2), lambda views: torch.full((2, CHANNELS[mode], 2, 2), 500.0)
    )
    assert logits.isfinite().all()


def test_a_sure_two_class_network_stays_sure() -> None:
    sure = torch.tensor([0.0, 500.0])[None, :, None, None].expand(2, 2, 2, 2)
    logits = FlipInferer(["horizontal"], "two_class")(torch.zeros(1, 3, 2, 2), lambda views: sure)
    assert logits.isfinite().all()
    assert (logits[:, 1] - logits[:, 0] > 10).all()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"flips has \['diagonal'\]"):
        FlipInferer(["horizontal", "diagonal"])
    with pytest.raises(InputError, match="mode is 'ternary'"):
        FlipInferer(mode="ternary")

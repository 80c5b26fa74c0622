from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from dermaseg_monai.networks import TimmUNet, calibrate_batch_norms
from dermaseg_monai.networks.calibration import folded_batch_norms


@pytest.fixture
def network() -> nn.Module:
    """Two convolutions with folded norms, and one whose norm has statistics."""
    torch.manual_seed(0)
    layers = [
        layer
        for before, after in ((3, 6), (6, 5), (5, 4))
        for layer in (nn.Conv2d(before, after, 3, bias=False), nn.BatchNorm2d(after), nn.ReLU())
    ]
    network = nn.Sequential(*layers)
    for norm in (layers[1], layers[4], layers[7]):
        nn.init.normal_(norm.bias)
        nn.init.uniform_(norm.weight, 0.5, 2)
    layers[7].running_var.fill_(3)
    return network


@pytest.fixture
def images() -> Tensor:
    return 3 * torch.rand(8, 3, 24, 20, generator=torch.Generator().manual_seed(1)) + 1


def test_function_is_kept_and_training_starts_from_it(network: nn.Module, images: Tensor) -> None:
    other = copy.deepcopy(network.eval())
    with torch.no_grad():
        expected = network(images)
        calibrate_batch_norms(network, images.split(4))
        torch.testing.assert_close(network(images), expected)
        # the third norm's statistics were made up
        torch.testing.assert_close(network[:6].train()(images), other[:6](images), atol=1e-3, rtol=1e-3)
        assert (other[:6].train()(images) - other[:6].eval()(images)).abs().mean() > 0.1


def test_statistics_are_those_of_the_inputs(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        first = network[0](images)
        calibrate_batch_norms(network, images.split(3))
    torch.testing.assert_close(network[1].running_mean, first.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(network[1].running_var, first.var(dim=(0, 2, 3), correction=0))
    assert folded_batch_norms(network) == []


def test_everything_else_is_left_alone(network: nn.Module, images: Tensor) -> None:
    before = copy.deepcopy(network.state_dict())
    network.train()
    network[3].eval()
    calibrate_batch_norms(network, [images])
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"1", "4"}
    assert [module.training for module in network] == [True] * 3 + [False] + [True] * 5


def test_norms_without_bias_or_statistics_are_not_folded() -> None:
    norms = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, track_running_stats=False))
    assert folded_batch_norms(norms) == []


def test_fresh_networks_draw_no_image() -> None:
    def refuse() -> Tensor:
        raise AssertionError("an image was drawn")

    network = TimmUNet("test_efficientnet")
    calibrate_batch_norms(network, (refuse() for _ in range(1)))
    assert folded_batch_norms(network) == []

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torchvision.models import inception_v3

from dermaseg_monai.networks import InceptionASPPUNet
from dermaseg_monai.utils.errors import InputError
from tests.networks.counts import aspp_parameters, decoder_parameters
from tests.networks.tester import NetworkTester

SKIPS = (768, 288, 192, 64)
WIDTHS = (256, 256, 128, 64, 32, 16)
# Blocks that keep size and channels; without them the network is as wide, and quicker.
REPEATED = ("Mixed_5d", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7c")
AUXILIARY = (768 * 128 + 2 * 128) + (25 * 128 * 768 + 2 * 768) + 769 * 1000


def shallow(**arguments: Any) -> nn.Module:
    network = inception_v3(**arguments)
    for name in REPEATED:
        setattr(network, name, nn.Identity())
    return network


@pytest.fixture
def shallow_encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.name != "test_parameter_count":
        monkeypatch.setattr("dermaseg_monai.networks.inception_aspp_unet.inception_v3", shallow)


@pytest.mark.usefixtures("shallow_encoder")
class TestInceptionASPPUNet(NetworkTester):
    network = InceptionASPPUNet
    tiny: ClassVar = {"out_channels": 5, "decoder_channels": (8, 8, 8, 8, 4), "dropout": 0.1}
    # torchvision documents 27,161,264 with the auxiliary head and the classifier of 1000 classes.
    parameters: ClassVar = [
        (
            {},
            (27_161_264 - AUXILIARY - 2049 * 1000)
            + aspp_parameters(2048, 256)
            + decoder_parameters(SKIPS, WIDTHS)
            + 5 * 17,
        ),
        ({}, 41_320_181),
    ]


@pytest.mark.parametrize("height", [33, 64, 75, 128, 299])
def test_maps_are_halves(height: int) -> None:
    with torch.device("meta"):
        network = InceptionASPPUNet().eval()
        hidden = torch.empty(1, 3, height, 256)
        for level, channels in enumerate((64, 192, 288, 768, 2048)):
            hidden = network.encoder[level](hidden)
            stride = 2 ** (level + 1)
            assert hidden.shape == (1, channels, -(-height // stride), 256 // stride)
    assert [branch[0].dilation[0] for branch in network.bottleneck.branches] == [1, 2, 3, 4]


def test_encoder_loads_and_equals_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False).eval()
    torch.save(source.state_dict(), tmp_path / "encoder.pth")
    network = InceptionASPPUNet(encoder_weights=str(tmp_path / "encoder.pth")).eval()
    # The rings of zeros are all that differs.
    for stage in network.encoder:
        for layer in stage:
            if isinstance(layer, nn.ZeroPad2d):
                layer.padding = (0, 0, 0, 0)
    pooled: list[torch.Tensor] = []
    source.avgpool.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    hidden = images = torch.randn(1, 3, 75, 107)
    with torch.no_grad():
        source(images)
        for stage in network.encoder:
            hidden = stage(hidden)
    torch.testing.assert_close(hidden, pooled[0], atol=0, rtol=0)


def test_maps_lie_over_the_image() -> None:
    network = InceptionASPPUNet().eval()
    hidden = torch.zeros(1, 3, 65, 193)
    hidden[..., 32, 64] = 1
    with torch.no_grad():
        for level, stage in enumerate(network.encoder[:3]):
            # Kernels without a direction, through which the dot cannot move.
            for module in stage.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            hidden = stage(hidden)
            columns = hidden.sum(dim=(0, 1, 2))
            centre = (columns * torch.arange(len(columns))).sum() / columns.sum()
            assert centre.item() == pytest.approx(64 / 2 ** (level + 1), abs=1e-3)


@pytest.mark.usefixtures("shallow_encoder")
def test_other_image_channels() -> None:
    network = InceptionASPPUNet(in_channels=1, out_channels=2, decoder_channels=(8, 8, 8, 8, 4)).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 33, 40)).shape == (1, 2, 33, 40)


def test_wrong_arguments() -> None:
    with torch.device("meta"):
        with pytest.raises(InputError, match=r"of InceptionASPPUNet needs 5 entries.*but has 2"):
            InceptionASPPUNet(decoder_channels=(64, 32))
        with pytest.raises(InputError, match="IMAGENET1K_V1"):
            InceptionASPPUNet(encoder_weights="imagenet")

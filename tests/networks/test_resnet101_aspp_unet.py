from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from dermaseg_monai.networks import ResNet101ASPPUNet
from dermaseg_monai.utils.errors import InputError
from tests.networks.counts import aspp_parameters, decoder_parameters
from tests.networks.tester import NetworkTester

SKIPS = (1024, 512, 256, 64)
WIDTHS = (256, 256, 128, 64, 32, 16)

# ResNet-101 with a block a stage: as wide, and quicker.
shallow = partial(ResNet, Bottleneck, [1, 1, 1, 1])


@pytest.fixture
def shallow_encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.name != "test_parameter_count":
        monkeypatch.setattr(
            "dermaseg_monai.networks.resnet101_aspp_unet.resnet101", lambda weights: shallow()
        )


@pytest.mark.usefixtures("shallow_encoder")
class TestResNet101ASPPUNet(NetworkTester):
    network = ResNet101ASPPUNet
    tiny: ClassVar = {"out_channels": 5, "decoder_channels": (8, 8, 8, 8, 4), "dropout": 0.1}
    # torchvision documents 44,549,160, of which the classifier of 1000 classes goes.
    parameters: ClassVar = [
        (
            {},
            (44_549_160 - 2049 * 1000)
            + aspp_parameters(2048, 256)
            + decoder_parameters(SKIPS, WIDTHS)
            + 5 * 17,
        ),
        ({}, 62_919_509),
    ]


def test_without_the_pyramid_a_convolution_takes_its_place() -> None:
    with torch.device("meta"):
        network = ResNet101ASPPUNet(aspp=False)
        assert network(torch.empty(2, 3, 64, 64)).shape == (2, 5, 64, 64)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == 62_919_509 - aspp_parameters(2048, 256) + 2048 * 256 + 2 * 256


def test_pyramid_is_on_the_last_volume() -> None:
    with torch.device("meta"):
        network = ResNet101ASPPUNet().eval()
        hidden, shapes = torch.empty(1, 3, 67, 128), []
        for stage in network.encoder:
            hidden = stage(hidden)
            shapes.append(tuple(hidden.shape[1:]))
        assert network.bottleneck(hidden).shape == (1, 256, 3, 4)
    assert shapes == [(64, 34, 64), (256, 17, 32), (512, 9, 16), (1024, 5, 8), (2048, 3, 4)]
    assert [branch[0].dilation[0] for branch in network.bottleneck.branches] == [1, 2, 3, 4]


@pytest.mark.usefixtures("shallow_encoder")
def test_encoder_loads_and_equals_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = shallow().eval()
    torch.save(source.state_dict(), tmp_path / "encoder.pth")
    network = ResNet101ASPPUNet(encoder_weights=str(tmp_path / "encoder.pth")).eval()
    source.fc = nn.Identity()
    hidden = images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for stage in network.encoder:
            hidden = stage(hidden)
        torch.testing.assert_close(hidden.mean(dim=(2, 3)), source(images))


@pytest.mark.usefixtures("shallow_encoder")
def test_weights_of_a_deeper_encoder_are_refused(tmp_path: Path) -> None:
    torch.save(ResNet(Bottleneck, [1, 1, 2, 1]).state_dict(), tmp_path / "deeper.pth")
    with pytest.raises(InputError, match=r"unknown: 18, such as 'layer3.1.bn1.bias'"):
        ResNet101ASPPUNet(encoder_weights=str(tmp_path / "deeper.pth"))


@pytest.mark.usefixtures("shallow_encoder")
def test_other_image_channels() -> None:
    network = ResNet101ASPPUNet(in_channels=1, out_channels=2, decoder_channels=(8, 8, 8, 8, 4)).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 33, 40)).shape == (1, 2, 33, 40)


@pytest.mark.usefixtures("shallow_encoder")
def test_wrong_arguments() -> None:
    with pytest.raises(InputError, match=r"of ResNet101ASPPUNet needs 5 entries.*but has 2"):
        ResNet101ASPPUNet(decoder_channels=(64, 32))
    with pytest.raises(InputError, match="IMAGENET1K_V2"):
        ResNet101ASPPUNet(encoder_weights="imagenet")

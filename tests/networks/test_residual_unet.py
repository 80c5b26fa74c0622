from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from dermaseg_monai.networks import ResidualUNet
from dermaseg_monai.networks.residual_unet import ResidualUnit
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester

# The first and second convolution of each unit in the paper's table 1, encoder, bridge and decoder.
UNITS = [(3, 64), (64, 128), (128, 256), (256, 512), (256 + 512, 256), (128 + 256, 128), (64 + 128, 64)]


class TestResidualUNet(NetworkTester):
    network = ResidualUNet
    tiny: ClassVar = {"out_channels": 5, "features": (4, 8, 12, 16)}
    convolutions = sum(9 * (i * o + o * o) for i, o in UNITS)
    norms = sum(2 * i + 2 * o for i, o in UNITS) - 2 * 3  # raw images are not normalised
    shortcuts = sum(i * o + 2 * o for i, o in UNITS)
    parameters: ClassVar = [({}, convolutions + norms + shortcuts + 65)]

    def test_convolutions_are_those_of_the_paper(self) -> None:
        assert self.convolutions == 7_780_032  # "7.8M" in the paper
        weights = [parameter for parameter in ResidualUNet().parameters() if parameter.shape[-2:] == (3, 3)]
        assert sum(weight.numel() for weight in weights) == self.convolutions


class TestTransposedResidualUNet(NetworkTester):
    network = ResidualUNet
    tiny: ClassVar = {"out_channels": 1, "features": (4, 8), "upsampling": "transpose"}
    units = 39_040 + 230_016 + 119_296  # 3-64, 64-128 and, after 64 channels from each side, 128-64
    parameters: ClassVar = [
        ({"features": (64, 128), "upsampling": "transpose"}, units + (4 * 128 * 64 + 64) + 65)
    ]


def test_unit_is_the_identity_where_its_convolutions_are_silent() -> None:
    unit = ResidualUnit(4, 4).eval()
    torch.nn.init.zeros_(unit.residual[-1].weight)
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(unit(x), x)


def test_one_level_is_refused() -> None:
    with pytest.raises(InputError, match="at least two levels"):
        ResidualUNet(features=(64,))


def test_the_projection_is_a_strided_convolution() -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(4, 8, stride=2)
    image = torch.rand(2, 4, 7, 10)
    expected = torch.nn.functional.conv2d(image, unit.shortcut[0].weight, stride=2)
    assert torch.allclose(unit.shortcut[0](image), expected)

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from dermaseg_monai.networks import UNet
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester

COMPACT = {"features": (64, 128, 256), "dropout": 0.1, "upsampling": "bilinear"}


class TestUNet(NetworkTester):
    network = UNet
    tiny: ClassVar = {"out_channels": 2, "features": (4, 8, 8, 12, 16)}
    parameters: ClassVar = [
        ({}, 31_037_633),
        ({"in_channels": 1, "out_channels": 2}, 31_037_633 - 2 * 9 * 64 + 65),
    ]


class TestCompactUNet(NetworkTester):
    network = UNet
    tiny: ClassVar = {"out_channels": 1, "features": (4, 8, 16), "dropout": 0.1, "upsampling": "bilinear"}
    encoder: ClassVar = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
    decoder: ClassVar = [(256 + 128, 128), (128, 128), (128 + 64, 64), (64, 64)]
    # Nine weights a channel pair, a scale and an offset a norm channel, one logit of 64 channels.
    parameters: ClassVar = [(COMPACT, sum(9 * i * o + 2 * o for i, o in encoder + decoder) + 65)]


class TestUNetWithoutNorm(NetworkTester):
    network = UNet
    tiny: ClassVar = {"out_channels": 1, "features": (4, 8, 16), "norm": "none"}
    # A bias in place of each scale and offset.
    parameters: ClassVar = [
        (
            {**COMPACT, "norm": "none"},
            sum(9 * i * o + o for i, o in TestCompactUNet.encoder + TestCompactUNet.decoder) + 65,
        )
    ]


def test_dropout_follows_the_first_convolution_of_each_pair_only() -> None:
    network = UNet(**COMPACT)
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert [module.p for module in dropouts] == [0.1] * 5
    for pair in [*network.encoder, *(up.conv for up in network.decoder)]:
        assert [type(part).__name__ for part in pair] == ["ConvNormReLU", "Dropout", "ConvNormReLU"]


def test_checkpoint_does_not_depend_on_dropout() -> None:
    UNet(features=(4, 8), dropout=0.3).load_state_dict(UNet(features=(4, 8)).state_dict())


def test_odd_sizes_are_padded_at_the_right_and_bottom_by_the_edge() -> None:
    torch.manual_seed(0)
    network = UNet(features=(4, 8, 8)).eval()
    image = torch.randn(1, 3, 38, 43)
    padded = torch.cat([image, image[..., -1:]], dim=3)
    padded = torch.cat([padded, padded[:, :, -1:], padded[:, :, -1:]], dim=2)
    assert padded.shape == (1, 3, 40, 44)
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(padded)[..., :38, :43])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": (64,)}, "at least two levels"),
        ({"upsampling": "nearest"}, '"transpose" or "bilinear"'),
        ({"norm": "instance"}, '"batch" or "none"'),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UNet(**arguments)

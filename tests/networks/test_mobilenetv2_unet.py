from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from dermaseg_monai.networks import MobileNetV2UNet
from dermaseg_monai.utils.errors import InputError
from tests.networks.counts import decoder_parameters
from tests.networks.tester import NetworkTester

DECODER = (128, 64, 48, 32, 16)


class TestMobileNetV2UNet(NetworkTester):
    network = MobileNetV2UNet
    tiny: ClassVar = {"out_channels": 1, "decoder_channels": (8, 8, 8, 8, 4), "dropout": 0.1}
    # torchvision's 3,504,872 without the classifier of 1000 classes, the squeeze, five double convolutions
    # and the head.
    parameters: ClassVar = [
        (
            {},
            (3_504_872 - 1281 * 1000)
            + (1280 * 256 + 2 * 256)
            + decoder_parameters((96, 32, 24, 16), (256, *DECODER))
            + 17,
        )
    ]

    def test_batch_norms_follow_short_trainings(self) -> None:
        norms = [module for module in self.build().modules() if isinstance(module, nn.BatchNorm2d)]
        assert {norm.momentum for norm in norms} == {0.1}


def test_encoder_is_torchvisions_in_order() -> None:
    torch.manual_seed(0)
    features = mobilenet_v2(weights=None).features.eval()
    network = MobileNetV2UNet().eval()
    network.encoder.load_state_dict(
        {
            f"{stage}.{name}": value
            for stage, part in enumerate(network.encoder)
            for name, value in features.state_dict().items()
            if name.split(".")[0] in dict(part.named_children())
        }
    )
    images = torch.randn(1, 3, 64, 96)
    hidden, sizes = images, []
    with torch.no_grad():
        for stage in network.encoder:
            hidden = stage(hidden)
            sizes.append(tuple(hidden.shape[1:]))
        torch.testing.assert_close(hidden, features(images))
    assert sizes == [(16, 32, 48), (24, 16, 24), (32, 8, 12), (96, 4, 6), (1280, 2, 3)]


@pytest.mark.parametrize("whole", [True, False], ids=["whole model", "features alone"])
def test_encoder_weights_from_a_file(tmp_path: Path, whole: bool) -> None:
    torch.manual_seed(1)
    source = mobilenet_v2(weights=None)
    state = source.state_dict() if whole else source.features.half().state_dict()
    torch.save(state, tmp_path / "encoder.pth")
    network = MobileNetV2UNet(encoder_weights=str(tmp_path / "encoder.pth"))
    expected = list(source.features.parameters())
    loaded = list(network.encoder.parameters())
    assert len(loaded) == len(expected)
    for ours, theirs in zip(loaded, expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs.float(), atol=0, rtol=0)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs 5 entries"):
        MobileNetV2UNet(decoder_channels=(64, 32))
    with pytest.raises(InputError, match="IMAGENET1K_V1"):
        MobileNetV2UNet(encoder_weights="imagenet")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="mobilenet_v2"):
        MobileNetV2UNet(encoder_weights=str(tmp_path / "other.pth"))

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VGG16_Weights, vgg16, vgg16_bn

from dermaseg_monai.networks import SegNet, calibrate_batch_norms
from dermaseg_monai.networks.segnet import unpool_by_two
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester

VGG16 = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)]
VGG16 += [(512, 512)] * 5


class TestSegNet(NetworkTester):
    network = SegNet
    tiny: ClassVar = {"out_channels": 2, "features": (4, 6, 8, 8, 8), "convolutions": (2, 2, 3, 3, 3)}
    too_small = (64, 31)
    autocast_error = 0.6  # rounding moves maxima that are nearly equal, and the unpooled values with them
    encoder = sum(9 * i * o + 3 * o for i, o in VGG16)  # a bias, a scale and an offset a channel
    decoder = sum(9 * i * o + 2 * i for i, o in VGG16[1:]) + 9 * 64 + 1  # mirrored, no bias but the last
    parameters: ClassVar = [({}, encoder + decoder), ({}, 29_439_873)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpooling_is_that_of_torch(layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, 8, 12, requires_grad=True).to(memory_format=layout)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    expected = F.max_unpool2d(pooled, indices, 2)
    torch.testing.assert_close(unpool_by_two(pooled, indices), expected, atol=0, rtol=0)
    weights = torch.randn(2, 3, 8, 12)
    (gradient,) = torch.autograd.grad((unpool_by_two(pooled, indices) * weights).sum(), x, retain_graph=True)
    (reference,) = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(gradient, reference, atol=0, rtol=0)


@pytest.mark.parametrize("prefix", ["", "features."])
def test_encoder_takes_the_weights_of_vgg16(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(0)
    vgg = vgg16_bn(num_classes=1).eval()
    path = tmp_path / "vgg16_bn.pth"
    state = {name: value for name, value in vgg.state_dict().items() if name.startswith("features.")}
    torch.save({prefix + name.removeprefix("features."): value.half() for name, value in state.items()}, path)
    network = SegNet(encoder_weights=str(path)).eval()
    hidden = images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for stage in network.encoder:
            hidden = F.max_pool2d(stage(hidden), 2)
        expected = vgg.features(images)
    torch.testing.assert_close(hidden, expected, atol=1e-2 * expected.std().item(), rtol=1e-2)


@pytest.mark.parametrize("origin", ["file", "features", "name"])
def test_encoder_takes_the_weights_of_vgg16_without_batch_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    torch.manual_seed(0)
    vgg = vgg16(num_classes=1).half().float().eval()
    for layer in vgg.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.bias, std=0.1)
    weights = "VGG16_Weights.IMAGENET1K_V1"
    if origin == "name":
        monkeypatch.setattr(VGG16_Weights, "get_state_dict", lambda *_, **__: vgg.state_dict())
    else:
        weights = str(tmp_path / "vgg16.pth")
        torch.save((vgg if origin == "file" else vgg.features).state_dict(), weights)
    network = SegNet(encoder_weights=weights).eval()

    def encoded(images: torch.Tensor) -> torch.Tensor:
        for stage in network.encoder:
            images = F.max_pool2d(stage(images), 2)
        return images

    images = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        expected = vgg.features(images)
        torch.testing.assert_close(encoded(images), expected)
        calibrate_batch_norms(network, [images])
        torch.testing.assert_close(encoded(images), expected)
        network.train()
        torch.testing.assert_close(encoded(images), expected, atol=1e-2 * expected.std().item(), rtol=1e-2)


@pytest.mark.parametrize(
    "arguments", [{"features": (4, 8)}, {"features": (), "convolutions": ()}, {"convolutions": (2, 2)}]
)
def test_stages_must_match(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="one entry for each stage"):
        SegNet(**arguments)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "narrow.pth"
    torch.save(SegNet(features=(4,), convolutions=(1,)).encoder[0].state_dict(), path)
    with pytest.raises(InputError, match="torchvision's vgg16_bn"):
        SegNet(features=(6,), convolutions=(1,), encoder_weights=str(path))

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.models.segmentation import deeplabv3_resnet50

from dermaseg_monai.networks import DeepLabV3
from dermaseg_monai.networks.blocks import PooledBatchNorm2d
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester


class TestDeepLabV3(NetworkTester):
    network = DeepLabV3
    tiny: ClassVar = {"out_channels": 2, "output_stride": 16, "auxiliary": True}
    parameters: ClassVar = [
        # torchvision publishes 42,004,074 for its 21 classes, with the auxiliary head.
        ({"out_channels": 21, "auxiliary": True}, 42_004_074),
        ({"out_channels": 21, "auxiliary": False}, 42_004_074 - (9 * 1024 * 256 + 2 * 256 + 257 * 21)),
        ({"auxiliary": True}, 41_994_308),
        ({}, 39_633_986),
        ({"output_stride": 16}, 39_633_986),
    ]


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    torch.manual_seed(0)
    return deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=2, aux_loss=True).eval()


def test_stride_eight_is_torchvisions_network(reference: nn.Module) -> None:
    network = DeepLabV3(auxiliary=True).eval()
    network.load_state_dict(reference.state_dict())
    images = torch.randn(1, 3, 65, 90)
    with torch.no_grad():
        expected = reference(images)
        torch.testing.assert_close(network(images), expected["out"])
        # The layers stay in evaluation mode for the comparison.
        network.training = True
        output = network(images)
    assert set(output) == {"logits", "auxiliary"}
    torch.testing.assert_close(output["logits"], expected["out"])
    torch.testing.assert_close(output["auxiliary"], [expected["aux"]])


@pytest.mark.parametrize(("stride", "dilations"), [(8, [12, 24, 36]), (16, [6, 12, 18])])
def test_output_stride(stride: int, dilations: list[int]) -> None:
    with torch.device("meta"):
        network = DeepLabV3(output_stride=stride)
        features = network.backbone(torch.empty(2, 3, 128, 192))
    assert features["out"].shape == (2, 2048, 128 // stride, 192 // stride)
    assert [branch[0].dilation[0] for branch in network.classifier[0].convs[1:4]] == dilations


def test_without_the_auxiliary_head_training_returns_logits_alone() -> None:
    with torch.device("meta"):
        network = DeepLabV3(output_stride=16)
        logits = network(torch.empty(2, 3, 40, 48))
    assert logits.shape == (2, 2, 40, 48)


def test_encoder_takes_the_weights_of_resnet50(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = resnet50(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet50.pth")
    backbone = DeepLabV3(encoder_weights=str(tmp_path / "resnet50.pth")).backbone.state_dict()
    assert set(backbone) == {name for name in state if not name.startswith("fc.")}
    assert all(torch.equal(value, state[name]) for name, value in backbone.items())


def test_other_strides_are_refused() -> None:
    with pytest.raises(InputError, match="output_stride is 32; choose 8 or 16"):
        DeepLabV3(output_stride=32)


class TestPooledBatchNorm:
    def layers(self) -> tuple[nn.BatchNorm2d, PooledBatchNorm2d]:
        torch.manual_seed(0)
        plain, pooled = nn.BatchNorm2d(3), PooledBatchNorm2d(3)
        nn.init.normal_(plain.weight)
        nn.init.normal_(plain.bias)
        pooled.load_state_dict(plain.state_dict())
        return plain, pooled

    def test_is_the_ordinary_layer_on_larger_batches(self) -> None:
        plain, pooled = self.layers()
        for shape in [(2, 3, 1, 1), (1, 3, 2, 1), (4, 3, 2, 2)]:
            x = torch.randn(shape)
            torch.testing.assert_close(pooled(x), plain(x))
        torch.testing.assert_close(pooled.state_dict(), plain.state_dict())
        torch.testing.assert_close(pooled.eval()(x), plain.eval()(x))

    def test_normalises_a_single_value_with_the_running_statistics(self) -> None:
        plain, pooled = self.layers()
        pooled(torch.randn(8, 3, 1, 1) * 3 + 1)
        before = {name: value.clone() for name, value in pooled.state_dict().items()}
        x = torch.randn(1, 3, 1, 1)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            plain(x)
        logits = pooled(x)
        torch.testing.assert_close(pooled.state_dict(), before)
        torch.testing.assert_close(logits, pooled.eval()(x))

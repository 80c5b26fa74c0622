from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn
from torchvision.models import convnext_tiny
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from dermaseg_monai.networks import ConvNeXtUNet
from dermaseg_monai.utils.errors import InputError
from tests.networks.counts import gate_parameters
from tests.networks.tester import NetworkTester

SKIPS = (384, 192, 96)
WIDTHS = (768, 256, 128, 64, 32, 16)

# ConvNeXt-Tiny with a block a stage: as wide, and quicker.
shallow = partial(
    ConvNeXt,
    [CNBlockConfig(*setting) for setting in [(96, 192, 1), (192, 384, 1), (384, 768, 1), (768, None, 1)]],
)


def unit_parameters(before: int, after: int) -> int:
    """Two 3x3 convolutions behind batch norms, and the shortcut with its batch norm."""
    return 2 * before + 9 * before * after + 2 * after + 9 * after * after + before * after + 2 * after


@pytest.fixture
def shallow_encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.name != "test_parameter_count":
        monkeypatch.setattr("dermaseg_monai.networks.convnext_unet.convnext_tiny", lambda weights: shallow())


@pytest.mark.usefixtures("shallow_encoder")
class TestConvNeXtUNet(NetworkTester):
    network = ConvNeXtUNet
    tiny: ClassVar = {"out_channels": 5, "decoder_channels": (8, 8, 8, 8, 4), "dropout": 0.1}
    # torchvision documents 28,589,128, of which its norm and its classifier of 1000 classes go.
    parameters: ClassVar = [
        (
            {},
            (28_589_128 - 2 * 768 - 769 * 1000)
            + sum(2 * channels for channels in (768, *SKIPS))
            + sum(gate_parameters(skip, width) for skip, width in zip(SKIPS, WIDTHS, strict=False))
            + sum(
                unit_parameters(before + skip, after)
                for before, skip, after in zip(WIDTHS, (*SKIPS, 0, 0), WIDTHS[1:], strict=False)
            )
            + 5 * 17,
        ),
        ({}, 33_066_040),
    ]


def test_encoder_loads_and_equals_torchvisions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = convnext_tiny(weights=None).eval()
    for name, parameter in source.named_parameters():
        if name.endswith("layer_scale"):
            nn.init.constant_(parameter, 0.1)  # the initial 1e-6 hides the blocks
    torch.save(source.state_dict(), tmp_path / "encoder.pth")
    network = ConvNeXtUNet(encoder_weights=str(tmp_path / "encoder.pth")).eval()
    images = torch.randn(1, 3, 32, 64)
    hidden, shapes = images, []
    with torch.no_grad():
        for stage in network.encoder:
            hidden = stage(hidden)
            shapes.append(tuple(hidden.shape[1:]))
        torch.testing.assert_close(hidden, source.features(images))
    assert shapes == [(96, 8, 16), (192, 4, 8), (384, 2, 4), (768, 1, 2)]


@pytest.mark.usefixtures("shallow_encoder")
def test_closed_gates_leave_the_deepest_map_alone() -> None:
    torch.manual_seed(0)
    network = ConvNeXtUNet(decoder_channels=(8, 8, 8, 8, 4)).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        logits = network(image)
        nn.init.zeros_(network.norms[0].weight)
        assert (network(image) - logits).abs().max() > 1e-3
        for block in network.decoder:
            nn.init.constant_(block.gate.attention.bias, -100)
        closed = network(image)
        nn.init.ones_(network.norms[0].weight)
        torch.testing.assert_close(network(image), closed)


@pytest.mark.usefixtures("shallow_encoder")
def test_other_image_channels() -> None:
    network = ConvNeXtUNet(in_channels=1, out_channels=2, decoder_channels=(8, 8, 8, 8, 4)).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 32, 40)).shape == (1, 2, 32, 40)


def test_wrong_arguments() -> None:
    with pytest.raises(InputError, match=r"needs 5 entries.*but has 2"):
        ConvNeXtUNet(decoder_channels=(64, 32))
    with pytest.raises(InputError, match="IMAGENET1K_V1"), torch.device("meta"):
        ConvNeXtUNet(encoder_weights="imagenet")

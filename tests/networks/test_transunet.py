from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from dermaseg_monai.networks import TransUNet
from dermaseg_monai.networks.transunet import _StandardisedConv2d, _TransformerLayer
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester

TINY: dict[str, Any] = {
    "out_channels": 2,
    "stem_width": 32,
    "stem_depths": (1, 1, 1),
    "width": 24,
    "depth": 2,
    "heads": 3,
    "feed_forward": 32,
    "decoder_channels": (16, 8, 8, 8),
    "grid_size": 4,
}


def bottlenecks(before: int, width: int, blocks: int) -> int:
    """Parameters of a ResNet-50 stage with a norm of two parameters per channel after each convolution."""
    first = (
        before * width + 9 * width**2 + 4 * width**2 + 4 * before * width + 2 * (2 * width + 2 * 4 * width)
    )
    other = 4 * width**2 + 9 * width**2 + 4 * width**2 + 2 * (2 * width + 4 * width)
    return first + (blocks - 1) * other


STEM = 49 * 3 * 64 + 2 * 64 + bottlenecks(64, 64, 3) + bottlenecks(256, 128, 4) + bottlenecks(512, 256, 9)
LAYER = 4 * (768**2 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
TRANSFORMER = 1024 * 768 + 768 + 14**2 * 768 + 12 * LAYER + 2 * 768
DECODER = sum(
    9 * before * after + 2 * after
    for before, after in [
        (768, 512),
        *((512 + 512, 256), (256, 256), (256 + 256, 128), (128, 128), (128 + 64, 64), (64, 64)),
        *((64, 16), (16, 16)),
    ]
)


class TestTransUNet(NetworkTester):
    network = TransUNet
    tiny: ClassVar = TINY
    parameters: ClassVar = [
        ({}, STEM + TRANSFORMER + DECODER + 9 * 16 + 1),
        # With the 9 classes of Synapse: 105.28 M, as later work reports for the paper's code.
        ({"out_channels": 9}, 105_277_081),
    ]


def test_stem_has_the_papers_skips() -> None:
    with torch.device("meta"):
        network = TransUNet()
        hidden = network.root(torch.empty(1, 3, 224, 224))
        shapes = [tuple(hidden.shape[1:])]
        hidden = network.pool(hidden)
        for stage in network.stages:
            hidden = stage(hidden)
            shapes.append(tuple(hidden.shape[1:]))
    assert shapes == [(64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14)]


def test_standardised_weights() -> None:
    torch.manual_seed(0)
    conv = _StandardisedConv2d(4, 3, 3, bias=False)
    x = torch.randn(1, 4, 8, 8)
    expected = conv(x)
    with torch.no_grad():
        # Scale and offset of a filter's weights make no difference.
        conv.weight.mul_(torch.tensor([2.0, 3.0, 4.0]).view(3, 1, 1, 1)).add_(0.5)
    torch.testing.assert_close(conv(x), expected, atol=2e-3, rtol=1e-3)
    ones = torch.nn.functional.conv2d(torch.ones(1, 4, 3, 3), conv.weight).abs().max()
    assert ones > 1
    torch.testing.assert_close(conv(torch.ones(1, 4, 3, 3)), torch.zeros(1, 3, 1, 1), atol=1e-4, rtol=0)


def test_transformer_layer_equals_pytorchs() -> None:
    torch.manual_seed(0)
    layer = _TransformerLayer(12, 3, 20, dropout=0.0).eval()
    reference = torch.nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    reference.load_state_dict(
        {
            "self_attn.in_proj_weight": layer.query_key_value.weight,
            "self_attn.in_proj_bias": layer.query_key_value.bias,
            "self_attn.out_proj.weight": layer.project.weight,
            "self_attn.out_proj.bias": layer.project.bias,
            "norm1.weight": layer.attention_norm.weight,
            "norm1.bias": layer.attention_norm.bias,
            "norm2.weight": layer.feed_forward[0].weight,
            "norm2.bias": layer.feed_forward[0].bias,
            "linear1.weight": layer.feed_forward[1].weight,
            "linear1.bias": layer.feed_forward[1].bias,
            "linear2.weight": layer.feed_forward[4].weight,
            "linear2.bias": layer.feed_forward[4].bias,
        }
    )
    x = torch.randn(2, 7, 12)
    torch.testing.assert_close(layer(x), reference(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (32, 72)])
def test_position_embedding_follows_the_size_of_the_image(size: tuple[int, int]) -> None:
    network = TransUNet(**TINY).eval()
    with torch.no_grad():
        network.embed.weight.zero_()
        network.embed.bias.zero_()
        # Each of the four columns holds where its middle lies in the image, from 0 to 1.
        network.position.copy_((torch.arange(4) + 0.5) / 4)
    tokens: list[torch.Tensor] = []
    network.layers.register_forward_pre_hook(lambda module, inputs: tokens.append(inputs[0]))
    with torch.no_grad():
        network(torch.randn(2, 3, *size))
    rows, columns = (-(-side // 16) for side in size)
    middles = ((torch.arange(columns) + 0.5) / columns).clamp(0.125, 0.875)
    expected = middles.repeat(rows).view(1, -1, 1).expand(2, -1, TINY["width"])
    torch.testing.assert_close(tokens[0], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem_width": 48}, "multiple of 32, but is 48"),
        ({"heads": 5}, "multiple of its 5 heads"),
        ({"stem_depths": (3, 4)}, "stem_depths of TransUNet needs 3"),
        ({"decoder_channels": (3, 4)}, "decoder_channels of TransUNet needs 4"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TransUNet(**{**TINY, **arguments})

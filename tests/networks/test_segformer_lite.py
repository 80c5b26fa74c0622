from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from dermaseg_monai.networks import SegFormerLite
from dermaseg_monai.networks.segformer_lite import _EfficientAttention
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester


def stage(before: int, width: int, side: int, reduction: int, depth: int) -> int:
    """Parameters of a stage, from the paper's description."""
    norm = 2 * width
    embed = side**2 * before * width + width + norm
    attention = 4 * (width**2 + width)
    if reduction > 1:
        attention += reduction**2 * width**2 + width + norm
    feed_forward = 2 * 4 * width**2 + 5 * width + 4 * width * 10
    return embed + depth * (2 * norm + attention + feed_forward) + norm


WIDTHS = (32, 64, 160, 256)
ENCODER = sum(
    stage(before, width, side, reduction, 2)
    for before, width, side, reduction in zip(
        (3, *WIDTHS[:3]), WIDTHS, (7, 3, 3, 3), (8, 4, 2, 1), strict=True
    )
)
DECODER = 256 * sum(WIDTHS) + 4 * 256 + 4 * 256 * 256 + 2 * 256


class TestSegFormerLite(NetworkTester):
    network = SegFormerLite
    tiny: ClassVar = {
        "out_channels": 2,
        "widths": (8, 8, 20, 16),
        "depths": (1, 2, 1, 1),
        "heads": (1, 2, 5, 4),
        "decoder_width": 16,
    }
    parameters: ClassVar = [
        ({}, ENCODER + DECODER + 257),
        # With the 150 classes of ADE20K: 3.8 M in the paper's table 1.
        ({"out_channels": 150}, 3_752_694),
        ({}, 3_714_401),
    ]


def test_stages_have_the_papers_strides_and_widths() -> None:
    with torch.device("meta"):
        network = SegFormerLite()
        hidden, shapes = torch.empty(1, 3, 64, 96), []
        for part in network.stages:
            hidden = part(hidden)
            shapes.append(tuple(hidden.shape[1:]))
    assert shapes == [(32, 16, 24), (64, 8, 12), (160, 4, 6), (256, 2, 3)]


@pytest.mark.parametrize("reduction", [1, 2])
def test_attention_equals_the_formula(reduction: int) -> None:
    torch.manual_seed(0)
    attention = _EfficientAttention(6, 3, reduction)
    x = torch.randn(2, 4, 6, 6)
    reduced = x
    if reduction > 1:
        reduced = attention.norm(attention.reduce(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
    query = attention.query(x).reshape(2, 24, 6)
    key, value = attention.key_value(reduced).reshape(2, -1, 12).split(6, dim=2)
    heads = []
    for i in range(3):
        part = slice(2 * i, 2 * i + 2)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / 2**0.5
        heads.append(scores.softmax(dim=2) @ value[..., part])
    expected = attention.project(torch.cat(heads, dim=2)).reshape(x.shape)
    torch.testing.assert_close(attention(x), expected)


def test_drop_path_grows_to_its_rate() -> None:
    network = SegFormerLite(drop_path=0.7)
    rates = [block.drop_path.p for part in network.stages for block in part.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"depths": (2, 2)}, "depths .* 4 entries"), ({"heads": (3, 2, 5, 8)}, "multiples of heads")],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SegFormerLite(**arguments)

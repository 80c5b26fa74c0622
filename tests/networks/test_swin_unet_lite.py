from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torchvision.models.swin_transformer import SwinTransformerBlock

from dermaseg_monai.networks import SwinUNetLite
from dermaseg_monai.networks.swin_unet_lite import _PatchExpanding
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester


def block(width: int, heads: int, window: int) -> int:
    """Parameters of a Swin block: two norms, attention with its table of positions, feed-forward layer."""
    return 4 * width + 12 * width**2 + 9 * width + (2 * window - 1) ** 2 * heads


WIDTHS = (48, 96, 192, 384)
BLOCKS = [2 * block(width, heads, 8) for width, heads in zip(WIDTHS, (3, 6, 12, 24), strict=True)]
# The same convolutions with batch norm come before the first stage and before the last layer.
CONVS = sum(9 * before * after + 2 * after for before, after in [(3, 24), (24, 48), (16, 16)])
MERGES = sum(8 * width**2 + 8 * width for width in WIDTHS[:3])
# Expanding to 4 tokens of the finer width and a norm, and the fusion of two maps of it.
UPS = sum(8 * width**2 + 2 * width + 2 * width**2 + width for width in WIDTHS[:3])
LAST = 2 * 48 + 48 * 256 + 2 * 16 + 17


class TestSwinUNetLite(NetworkTester):
    network = SwinUNetLite
    # A window of 4 is shifted at stride 4, divides that map of the usual size but not of the others, and is
    # larger than the deepest map.
    tiny: ClassVar = {"out_channels": 2, "width": 8, "heads": (1, 2, 4, 4), "window_size": 4}
    parameters: ClassVar = [
        ({}, sum(BLOCKS) + sum(BLOCKS[:3]) + CONVS + MERGES + UPS + 2 * 384 + LAST),
        ({}, 6_819_837),
    ]


def test_stages_have_strides_4_to_32() -> None:
    network = SwinUNetLite(width=8, heads=(1, 2, 4, 4), window_size=2).eval()
    shapes = []
    for part in network.encoder:
        part.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network(torch.randn(1, 3, 64, 96))
    assert shapes == [(16, 24, 8), (8, 12, 16), (4, 6, 32), (2, 3, 64)]


def test_every_second_block_shifts_its_windows() -> None:
    network = SwinUNetLite(depths=(2, 2, 4, 2))
    blocks = [module for module in network.modules() if isinstance(module, SwinTransformerBlock)]
    assert len(blocks) == 10 + 8
    assert [part.attn.shift_size for part in blocks] == [[0, 0], [4, 4]] * 9


def test_drop_path_grows_with_depth_and_falls_again() -> None:
    network = SwinUNetLite(drop_path=0.7)
    rates = [
        [part.stochastic_depth.p for part in blocks]
        for blocks in [*network.encoder, *(stage.blocks for stage in network.decoder)]
    ]
    expected = [[0, 0.1], [0.2, 0.3], [0.4, 0.5], [0.6, 0.7], [0.4, 0.5], [0.2, 0.3], [0, 0.1]]
    for actual, wanted in zip(rates, expected, strict=True):
        assert actual == pytest.approx(wanted)


def test_patch_expanding_puts_each_tokens_parts_in_its_square() -> None:
    expanding = _PatchExpanding(4, 3, 2)
    x = torch.randn(1, 2, 3, 4)
    expected = torch.empty(1, 4, 6, 3)
    parts = expanding.expand(x)
    for row in range(4):
        for column in range(6):
            part = 2 * (row % 2) + column % 2
            expected[0, row, column] = parts[0, row // 2, column // 2, 3 * part : 3 * part + 3]
    torch.testing.assert_close(expanding(x), expanding.norm(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (2, 2, 2)}, "depths .* 4 entries, but has 3"),
        ({"width": 40}, "multiples of the heads"),
        ({"width": 9, "heads": (3, 6, 12, 24)}, "must be even"),
        ({"window_size": 1}, "at least 2, but is 1"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SwinUNetLite(**arguments)

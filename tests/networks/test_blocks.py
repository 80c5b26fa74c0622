from __future__ import annotations

import pytest
import torch
from torch import nn

from dermaseg_monai.networks.blocks import ASPP, Head, ResizeUpBlock


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_head_starts_small(kernel_size: int) -> None:
    torch.manual_seed(0)
    head = Head(512, 40, kernel_size)
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not head.bias.any()
    assert head(torch.zeros(1, 512, 5, 4)).shape == (1, 40, 5, 4)


class TestASPP:
    def test_branches_see_as_far_as_their_dilations(self) -> None:
        aspp = ASPP(1, 8, (2, 3, 4))
        with torch.no_grad():
            for branch in aspp.branches:
                branch[0].weight.fill_(1)
                branch[1].eval()
        point = torch.zeros(1, 1, 11, 11)
        point[..., 5, 5] = 1
        seen = [branch(point)[0, 0, 5].nonzero().flatten().tolist() for branch in aspp.branches]
        assert seen == [[5], [3, 5, 7], [2, 5, 8], [1, 5, 9]]

    def test_equals_its_branches_joined(self) -> None:
        torch.manual_seed(0)
        aspp = ASPP(6, 8, (2, 3), dropout=0.5).eval()
        x = torch.randn(2, 6, 5, 4)
        with torch.no_grad():
            pooled = aspp.pooled(nn.functional.adaptive_avg_pool2d(x, 1)).expand(-1, -1, 5, 4)
            expected = aspp.project(torch.cat([branch(x) for branch in aspp.branches] + [pooled], dim=1))
            torch.testing.assert_close(aspp(x), expected)

    def test_image_pooling_trains_on_a_batch_of_one(self) -> None:
        torch.manual_seed(0)
        pooled = ASPP(4, 8, (2,)).pooled
        output = pooled(torch.randn(1, 4, 1, 1))
        assert output.isfinite().all()
        assert output.max() > 0


def test_resize_up_block_joins_any_sizes() -> None:
    torch.manual_seed(0)
    block = ResizeUpBlock(2, 3, 4).eval()
    x, skip = torch.randn(1, 2, 3, 4), torch.randn(1, 3, 7, 5)
    resized = nn.functional.interpolate(x, size=(7, 5), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(block(x, skip), block.convs(torch.cat([resized, skip], dim=1)))

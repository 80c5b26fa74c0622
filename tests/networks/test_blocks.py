from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dermaseg_monai.networks.blocks import ASPP, Head, ResizeUpBlock, load_encoder_weights
from dermaseg_monai.utils.errors import InputError


class TestEncoderWeights:
    """An encoder of two entries, `conv.weight` (1, 1, 1, 1) and `conv.bias` (1,), filled from files."""

    @staticmethod
    def load(path: Path, prefix: str = "", **entries: Tensor) -> dict[str, Tensor]:
        encoder = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 1, 1), bn=nn.BatchNorm2d(1, affine=False)))
        torch.save({name.replace("__", "."): value for name, value in entries.items()}, path / "file.pth")
        load_encoder_weights(encoder, str(path / "file.pth"), "resnet50", prefix)
        return encoder.state_dict()

    @staticmethod
    def entries(prefix: str = "") -> dict[str, Tensor]:
        return {
            f"{prefix}conv__weight": torch.full((1, 1, 1, 1), 3.0),
            f"{prefix}conv__bias": torch.full((1,), 4.0),
            f"{prefix}bn__running_mean": torch.full((1,), 5.0),
            f"{prefix}bn__running_var": torch.full((1,), 6.0),
        }

    @pytest.mark.parametrize("prefix", ["", "features__"])
    @pytest.mark.parametrize("classifier", ["fc__weight", "classifier__2__bias", "AuxLogits__conv0__weight"])
    def test_classifiers_are_left_out(self, tmp_path: Path, prefix: str, classifier: str) -> None:
        state = self.load(tmp_path, "features.", **self.entries(prefix), **{classifier: torch.zeros(7)})
        assert {name: value.item() for name, value in state.items()} == {
            "conv.weight": 3,
            "conv.bias": 4,
            "bn.running_mean": 5,
            "bn.running_var": 6,
            "bn.num_batches_tracked": 0,
        }

    @pytest.mark.parametrize("prefix", ["", "features__"])
    @pytest.mark.parametrize("extra", ["layer3__22__conv1__weight", "classifier_weight", "features__deeper"])
    def test_other_extras_are_refused(self, tmp_path: Path, prefix: str, extra: str) -> None:
        name = extra.removeprefix("features__").replace("__", ".")
        with pytest.raises(InputError, match=rf"\(entries unknown: 1, such as '{name}'\); give "):
            self.load(tmp_path, "features.", **self.entries(prefix), **{extra: torch.zeros(1)})

    def test_one_sentence_tells_what_does_not_fit(self, tmp_path: Path) -> None:
        entries = self.entries() | {"conv__weight": torch.zeros(2, 1, 1, 1), "other": torch.zeros(1)}
        del entries["conv__bias"], entries["bn__running_var"]
        with pytest.raises(InputError) as error:
            self.load(tmp_path, **entries)
        assert str(error.value) == (
            f"the encoder weights {str(tmp_path / 'file.pth')!r} do not fit this encoder (entries missing: 2, "
            f"such as 'bn.running_var'; unknown: 1, such as 'other'; of another shape: 1, such as "
            f"'conv.weight'); give those of torchvision's resnet50."
        )


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

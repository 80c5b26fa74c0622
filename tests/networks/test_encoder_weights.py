from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dermaseg_monai.networks.encoder_weights import load_encoder_weights
from dermaseg_monai.utils.errors import InputError


class TestEncoderWeights:
    """An encoder of two entries, ``conv.weight`` (1, 1, 1, 1) and ``conv.bias`` (1,), filled from files."""

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

"""Starts from weights that fit wholly, in part, and not at all."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from dermaseg_monai.errors import InputError
from dermaseg_monai.networks import UNet
from dermaseg_monai.start import start_from


def _unet(channels: int) -> UNet:
    return UNet(out_channels=channels, features=(2, 4))


def test_all_but_the_head_comes_from_a_lesion_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lesion, attributes = _unet(1), _unet(5)
    torch.save(lesion.state_dict(), tmp_path / "model.pt")
    before = {name: value.clone() for name, value in attributes.state_dict().items()}
    with caplog.at_level(logging.INFO):
        start_from(attributes, tmp_path / "model.pt")
    source = lesion.state_dict()
    differing = {
        name for name, value in attributes.state_dict().items() if not torch.equal(value, source[name])
    }
    heads = {name for name, value in source.items() if value.shape != before[name].shape}
    assert heads
    assert differing == heads
    assert f"started {len(source) - len(heads)} of the network's {len(source)} tensors" in caplog.text


def test_nothing_is_done_without_a_source() -> None:
    network = _unet(1)
    assert start_from(network, None) is network


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save({"elsewhere": torch.zeros(3)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="none of the 1 tensors"):
        start_from(_unet(1), tmp_path / "model.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(InputError, match="not a file of weights"):
        start_from(_unet(1), tmp_path / "text.pt")
    with pytest.raises(InputError, match="'lesion_vnet' is neither"):
        start_from(_unet(1), "lesion_vnet")

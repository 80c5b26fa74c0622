"""Bundles that answer at once: whatever is dark is lesion, or every attribute but the last."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def excepthook(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the bundle sets its own


@pytest.fixture(scope="session")
def lesion(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of ``lesion_unet``."""
    return _dark(tmp_path_factory.mktemp("lesion"), "lesion_unet", channels=1)


@pytest.fixture(scope="session")
def attributes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of ``attribute_unet``."""
    return _dark(tmp_path_factory.mktemp("attributes"), "attribute_unet", channels=5)


def _dark(folder: Path, bundle: str, channels: int) -> dict[str, Any]:
    network = torch.nn.Conv2d(3, channels, 1)
    with torch.no_grad():
        network.weight.fill_(-10)
        network.bias.fill_(0)
        if channels > 1:
            network.bias[-1] = -1e6
    torch.save(network.state_dict(), folder / "model.pt")
    layer = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": channels, "kernel_size": 1}
    return {
        "bundle": bundle,
        "ckpt_dir": str(folder),
        "network_def": layer,
        "image_size": [48, 64],
        "device": "cpu",
        "amp": False,
    }

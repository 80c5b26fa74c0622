"""Small untrained bundles, complete enough to segment with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from dermaseg_monai.bundle.folder import bundle_folder
from tests.sam.helpers import TINY, tiny_network


def write_tiny_bundle(folder: Path, base: str, seed: int = 0, **changes: Any) -> Path:
    """Write a bundle like ``base``, with a network and images of a few pixels.

    Args:
        folder: the bundle's.
        base: a U-Net of the collection, such as "lesion_unet" or "attribute_unet".
        seed: of the weights.
        **changes: of its inference.json.
    """
    config = _config(base)
    config["network_def"]["features"], config["image_size"] = [4, 8], [32, 32]
    config.update(changes)
    torch.manual_seed(seed)
    network = ConfigParser(config).get_parsed_content("network_def")
    for weight in network.parameters():
        if weight.ndim == 4:
            torch.nn.init.kaiming_normal_(weight)  # heads that start small would find every pixel undecided
    return _written(folder, config, network)


def write_tiny_promptable(folder: Path) -> Path:
    """Write a bundle like ``lesion_sam`` with a tiny network."""
    config = _config("lesion_sam")
    config["network_def"]["architecture"] = TINY
    return _written(folder, config, tiny_network().half().float())  # weights that float16 holds exactly


def _config(base: str) -> dict[str, Any]:
    return json.loads((bundle_folder(base) / "configs" / "inference.json").read_text(encoding="utf-8"))


def _written(folder: Path, config: dict[str, Any], network: torch.nn.Module) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder

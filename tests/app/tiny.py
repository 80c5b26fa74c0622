"""Small untrained bundles, complete enough to segment with."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from dermaseg_monai.networks import UNet
from dermaseg_monai.zoo.folders import bundle_folder


def write_tiny_bundle(folder: Path, base: str) -> Path:
    """Write a bundle like ``base``, a U-Net of the collection, with a network and images of a few pixels.

    Args:
        folder: the bundle's.
        base: "lesion_unet" or "attribute_unet".
    """
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    config = json.loads((bundle_folder(base) / "configs" / "inference.json").read_text(encoding="utf-8"))
    config["network_def"]["features"], config["image_size"] = [4, 8], [32, 32]
    (folder / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(0)
    network = UNet(out_channels=config["network_def"]["out_channels"], features=(4, 8))
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder

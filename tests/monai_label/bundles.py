"""Bundles of the collection, shrunk in a copy, and what they infer on their own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from PIL import Image

from dermaseg_monai.bundle.config_ids import set_id
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.datasets.isic2018 import ARCHIVES, ATTRIBUTE_SUFFIXES, LESION_SUFFIX
from dermaseg_monai.networks.blocks import Head
from dermaseg_monai.transforms import normalise_photo


def small_copy(name: str, folder: Path, **changes: Any) -> Path:
    """Copy a bundle's configs, for images of 32 x 32 pixels and without weights.

    Args:
        name: of the bundle.
        folder: the copy, whose name becomes the model's.
        **changes: values of train.json and inference.json by id.
    """
    shutil.copytree(bundle_folder(name) / "configs", folder / "configs")
    for config in ("train", "inference"):
        path = folder / "configs" / f"{config}.json"
        content = json.loads(path.read_text())
        for identifier, value in {"image_size": [32, 32], **changes}.items():
            set_id(content, identifier, value)
        path.write_text(json.dumps(content))
    return folder


def write_weights(bundle: Path, phantoms: Path | None = None) -> Path:
    """Give a bundle random weights, or those that have learnt a little of what ``phantoms`` show."""
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    torch.manual_seed(0)
    network = ConfigParser(config).get_parsed_content("network_def")
    if phantoms is not None:
        attributes = config["mode"] == "multilabel"
        folder = phantoms / ARCHIVES["training", "attribute" if attributes else "lesion"].folder
        suffixes = list(ATTRIBUTE_SUFFIXES.values()) if attributes else [LESION_SUFFIX]
        _learn(network, phantoms, [(folder, suffix) for suffix in suffixes], config["image_size"])
    (bundle / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    # those that an earlier training fitted belong to its own weights
    (bundle / "models" / "thresholds.json").unlink(missing_ok=True)
    return bundle


def _learn(
    network: torch.nn.Module, phantoms: Path, channels: list[tuple[Path, str]], size: list[int]
) -> None:
    """A few steps, so that masks have shapes, overlap, and no two photos are alike in doubt."""

    def small(path: Path) -> np.ndarray:
        return np.array(Image.open(path).resize((size[1], size[0])))

    photos = sorted((phantoms / ARCHIVES["training", "image"].folder).glob("*.jpg"))
    image = torch.from_numpy(np.stack([small(path) for path in photos])).permute(0, 3, 1, 2)
    masks = [
        [small(folder / f"{path.stem}{suffix}") >= 128 for folder, suffix in channels] for path in photos
    ]
    target = torch.from_numpy(np.array(masks)).float()
    # steps are few: heads that start small and classes of a few pixels would all give one answer everywhere
    for module in network.modules():
        if isinstance(module, Head):
            torch.nn.Conv2d.reset_parameters(module)
    present = target.sum(dim=(0, 2, 3))
    weight = ((len(target) * target[0, 0].numel() - present) / present.clamp(min=1)).clamp(max=50)
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=weight[:, None, None])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss(network.train()(normalise_photo(image)), target).backward()
        optimizer.step()


def own_masks(python: str, bundle: Path, photos: Path, output: Path) -> dict[str, np.ndarray]:
    """What ``monai.bundle run inferring`` writes for a folder of photos: masks (H, W) of 0/255 by file name."""
    command = [
        *(python, "-m", "monai.bundle", "run", "inferring"),
        *("--config_file", str(bundle / "configs" / "inference.json"), "--bundle_root", str(bundle)),
        *("--dataset_dir", str(photos), "--output_dir", str(output)),
    ]
    subprocess.run(command, check=True, timeout=300, stdin=subprocess.DEVNULL)
    return {path.stem: np.array(Image.open(path)) for path in output.glob("*.png")}

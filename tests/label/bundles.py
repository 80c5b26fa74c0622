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

from dermaseg_monai.zoo.config_ids import set_id
from dermaseg_monai.zoo.folders import bundle_folder


def small_copy(name: str, folder: Path, weights: bool = True, **changes: Any) -> Path:
    """Copy a bundle's configs with a network of 32 x 32 pixels and random weights.

    Args:
        name: of the bundle.
        folder: the copy, whose name becomes the model's.
        weights: whether it gets any.
        **changes: values of train.json and inference.json by id.
    """
    shutil.copytree(bundle_folder(name) / "configs", folder / "configs")
    for config in ("train", "inference"):
        path = folder / "configs" / f"{config}.json"
        content = json.loads(path.read_text())
        for identifier, value in {"image_size": [32, 32], **changes}.items():
            set_id(content, identifier, value)
        path.write_text(json.dumps(content))
    if weights:
        torch.manual_seed(0)
        network = ConfigParser(content).get_parsed_content("network_def")
        (folder / "models").mkdir()
        torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def own_masks(python: str, bundle: Path, photos: Path, output: Path) -> dict[str, np.ndarray]:
    """What ``monai.bundle run inferring`` writes for a folder of photos: masks (H, W) of 0/255 by file name."""
    command = [
        *(python, "-m", "monai.bundle", "run", "inferring"),
        *("--config_file", str(bundle / "configs" / "inference.json"), "--bundle_root", str(bundle)),
        *("--dataset_dir", str(photos), "--output_dir", str(output)),
    ]
    subprocess.run(command, check=True, timeout=300, stdin=subprocess.DEVNULL)
    return {path.stem: np.array(Image.open(path)) for path in output.glob("*.png")}

"""Trained bundles as plain networks, for use inside another one."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from monai.bundle import ConfigParser
from torch import nn

from dermaseg_monai.engines import load_weights
from dermaseg_monai.errors import InputError
from dermaseg_monai.zoo.folders import bundle_folder


class Member(NamedTuple):
    """A trained network and how it is used.

    Attributes:
        network: with its weights.
        mode: "binary", "two_class" or "multilabel".
        size: (height, width) it is given.
    """

    network: nn.Module
    mode: str
    size: tuple[int, int]


def load_member(bundle: str | os.PathLike[str], lesion: bool = False) -> Member:
    """Load a trained bundle that takes normalised images and nothing else.

    Args:
        bundle: name or folder, with ``models/model.pt``.
        lesion: refuse bundles that segment attributes.

    Returns:
        Its network, mode and size.

    Raises:
        InputError: the bundle is unknown, has no weights, takes prompts, or segments what isn't wanted.
    """
    folder = bundle_folder(bundle)
    config = json.loads((folder / "configs" / "inference.json").read_text(encoding="utf-8"))
    if "prompt_source" in config:
        raise InputError(f"'{bundle}' takes prompts and can't be part of another bundle; choose one without.")
    if lesion and config["mode"] == "multilabel":
        raise InputError(f"'{bundle}' segments attributes; give a lesion bundle.")
    network = ConfigParser({"network_def": config["network_def"]}).get_parsed_content("network_def")
    load_weights(network, folder / "models" / "model.pt")
    height, width = config["image_size"]
    return Member(network, config["mode"], (int(height), int(width)))

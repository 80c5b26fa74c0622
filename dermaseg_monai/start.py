"""What a training begins with: pretrained weights of its encoder, or another bundle's weights."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch
from torch import nn

from dermaseg_monai.errors import InputError
from dermaseg_monai.zoo.folders import bundle_folder

logger = logging.getLogger(__name__)


def encoder_start(
    encoder_weights: str | None,
    start_from: str | os.PathLike[str] | None,
    ckpt_dir: str | os.PathLike[str],
    resume: bool,
) -> str | None:
    """Choose the pretrained weights that a training's encoder is built with.

    A training that goes on after an interruption, or starts from another bundle, has its weights from there, so
    that the pretrained ones, which may have to be downloaded, are not asked for.

    Args:
        encoder_weights: what the config says: a torchvision name, a file, or None.
        start_from: another bundle's weights, or None.
        ckpt_dir: where an interrupted training has left ``last.pt``.
        resume: whether that is taken up.

    Returns:
        ``encoder_weights``, or None where the weights come from elsewhere.
    """
    resumed = resume and (Path(ckpt_dir) / "last.pt").is_file()
    return None if resumed or start_from is not None else encoder_weights


def start_from(network: nn.Module, source: str | os.PathLike[str] | None) -> nn.Module:
    """Give a network those of another's trained weights that fit it.

    A tensor fits where name and shape agree: all of an equal network, encoder and decoder but not the head of
    one that segments something else, the encoder where only that is shared.

    Args:
        network: changed in place.
        source: a bundle with ``models/model.pt`` (its name or folder), a file of weights, or None to leave
            the network as it is.

    Returns:
        ``network``.

    Raises:
        InputError: there are no such weights, they cannot be read, or none of them fits.
    """
    if source is None:
        return network
    path = Path(source)
    if not path.is_file():
        path = bundle_folder(source) / "models" / "model.pt"
    if not path.is_file():
        raise InputError(f"start_from is '{source}', but there is no {path}; train that bundle first.")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        own = network.state_dict()
        fitting = {
            name: value
            for name, value in weights.items()
            if name in own and torch.is_tensor(value) and value.shape == own[name].shape
        }
    except Exception as error:
        raise InputError(
            f"{path} is not a file of weights ({type(error).__name__}); download or train it again."
        ) from error
    # batch counters fit any network with batch norm
    if not any(own[name].is_floating_point() for name in fitting):
        raise InputError(
            f"none of the {len(weights)} tensors in {path} fits this network by name and shape; start from a "
            "bundle that shares its encoder."
        )
    network.load_state_dict(fitting, strict=False)
    logger.info("started %d of the network's %d tensors from %s", len(fitting), len(own), path)
    return network

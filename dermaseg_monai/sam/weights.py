"""Loading the published weights, or those fine-tuned from them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch

from dermaseg_monai.bundle.published_weights import get_checkpoint
from dermaseg_monai.sam.network import SamNetwork
from dermaseg_monai.sam.tiny_vit import with_timm_names
from dermaseg_monai.utils.download import sha256_of
from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)


def load_checkpoint(
    network: SamNetwork, path: str | os.PathLike[str], checkpoint: str = "sam_vit_b"
) -> SamNetwork:
    """Load published or fine-tuned weights into a network.

    A file that bears the published name must be the published file, to the byte; under another name it is taken
    as fine-tuned and need only fit the network. Fine-tuning trains one mask per prompt, so a network whose
    ``multimask`` is None proposes just one from then on.

    Args:
        network: what to load into.
        path: the file, or a folder that holds the published file.
        checkpoint: a key of :data:`CHECKPOINTS`: what the file is, or was fine-tuned from.

    Returns:
        ``network``, with the weights.

    Raises:
        InputError: the file is missing, damaged or of another network; the message says which file to get, where,
            and its hash.
    """
    known = get_checkpoint(checkpoint)
    path = Path(path) / known.file if Path(path).is_dir() else Path(path)
    remedy = (
        f"get {known.file} from {known.url} ({known.size} bytes, sha256 {known.sha256}) and put it there."
    )
    if not path.is_file():
        raise InputError(f"there are no weights at {path}: {remedy}")
    published = path.name == known.file
    if published and sha256_of(path, path.name) != known.sha256:
        raise InputError(f"{path} is not the published file, or damaged: {remedy}")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is no file of weights ({type(error).__name__}): {remedy}") from error
    if isinstance(weights, dict):
        weights = with_timm_names(weights)
    reason = _misfit(network.state_dict(), weights)
    if reason:
        raise InputError(f"{path} is of another network than this one ({reason}): {remedy}")
    network.load_state_dict(weights)
    if network.multimask is None and not published:
        network.multimask = False
    logger.info("%s weights of %s from %s", "published" if published else "fine-tuned", checkpoint, path)
    return network


def best_weights(ckpt_dir: str | os.PathLike[str]) -> Path:
    """The weights in a folder for evaluation and inference: a fine-tuned ``model.pt``, or else a published file.

    Args:
        ckpt_dir: the folder.

    Returns:
        The path that :func:`load_checkpoint` takes: of ``model.pt`` where there is one, else of the folder.
    """
    fine_tuned = Path(ckpt_dir) / "model.pt"
    return fine_tuned if fine_tuned.is_file() else Path(ckpt_dir)


def _misfit(expected: dict[str, torch.Tensor], weights: object) -> str:
    """The first difference in keys and shapes, in words; empty where there is none."""
    if not isinstance(weights, dict):
        return f"it holds a {type(weights).__name__}, no state dict"
    for name, tensor in expected.items():
        if not isinstance(weights.get(name), torch.Tensor):
            return f"it lacks {name}"
        if weights[name].shape != tensor.shape:
            return f"{name} has shape {tuple(weights[name].shape)} where {tuple(tensor.shape)} is needed"
    extra = sorted(str(name) for name in set(weights) - set(expected))
    return f"it has {extra[0]}" if extra else ""

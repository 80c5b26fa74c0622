"""The published weights: which file, where it is, how it is told from another; and loading it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from dermaseg_monai.errors import InputError
from dermaseg_monai.prompts.network import SamNetwork


@dataclass(frozen=True)
class Checkpoint:
    """A published file of weights and what it needs around it.

    Attributes:
        architecture: of :class:`~dermaseg_monai.prompts.network.SamNetwork`.
        preprocessing: a key of :data:`~dermaseg_monai.prompts.preprocess.PREPROCESSING`.
        file: the published name.
        url: its official address.
        size: in bytes.
        sha256: of the whole file.
    """

    architecture: str
    preprocessing: str
    file: str
    url: str
    size: int
    sha256: str


_META = "https://dl.fbaipublicfiles.com/segment_anything"

CHECKPOINTS: dict[str, Checkpoint] = {
    "sam_vit_b": Checkpoint(
        architecture="vit_b",
        preprocessing="sam",
        file="sam_vit_b_01ec64.pth",
        url=f"{_META}/sam_vit_b_01ec64.pth",
        size=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    "sam_vit_l": Checkpoint(
        architecture="vit_l",
        preprocessing="sam",
        file="sam_vit_l_0b3195.pth",
        url=f"{_META}/sam_vit_l_0b3195.pth",
        size=1_249_524_607,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    "sam_vit_h": Checkpoint(
        architecture="vit_h",
        preprocessing="sam",
        file="sam_vit_h_4b8939.pth",
        url=f"{_META}/sam_vit_h_4b8939.pth",
        size=2_564_550_879,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    "medsam_vit_b": Checkpoint(
        architecture="vit_b",
        preprocessing="medsam",
        file="medsam_vit_b.pth",
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        size=375_049_145,
        sha256="34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74",
    ),
}
"""The published weights by name."""


def get_checkpoint(name: str) -> Checkpoint:
    """The entry of :data:`CHECKPOINTS` called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in CHECKPOINTS:
        raise InputError(f"There are no published weights '{name}'; choose one of {', '.join(CHECKPOINTS)}.")
    return CHECKPOINTS[name]


def load_checkpoint(
    network: SamNetwork, path: str | os.PathLike[str], checkpoint: str = "sam_vit_b"
) -> SamNetwork:
    """Load published or fine-tuned weights into a network.

    A file that bears the published name must be the published file, to the byte; under another name it is taken
    as fine-tuned and need only fit the network.

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
        raise InputError(f"There are no weights at {path}: {remedy}")
    if path.name == known.file and _sha256(path) != known.sha256:
        raise InputError(f"{path} is not the published file, or damaged: {remedy}")
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is no file of weights ({type(error).__name__}): {remedy}") from error
    reason = _misfit(network.state_dict(), weights)
    if reason:
        raise InputError(f"{path} is of another network than this one ({reason}): {remedy}")
    network.load_state_dict(weights)
    return network


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _misfit(expected: dict[str, torch.Tensor], given: object) -> str:
    """The first difference in keys and shapes, in words; empty where there is none."""
    if not isinstance(given, dict):
        return f"it holds a {type(given).__name__}, no state dict"
    for name, tensor in expected.items():
        if not isinstance(given.get(name), torch.Tensor):
            return f"it lacks {name}"
        if given[name].shape != tensor.shape:
            return f"{name} has shape {tuple(given[name].shape)} where {tuple(tensor.shape)} is needed"
    extra = sorted(str(name) for name in set(given) - set(expected))
    return f"it has {extra[0]}" if extra else ""

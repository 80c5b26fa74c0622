"""Pretrained encoders: their weights from a file or torchvision, and images of other channels."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from dermaseg_monai.utils.errors import InputError

# Beginnings of the names of torchvision's classifiers, auxiliary ones included.
CLASSIFIERS = ("fc.", "classifier.", "AuxLogits.")


def load_encoder_weights(
    encoder: nn.Module, weights: str | None, architecture: str, prefix: str = ""
) -> None:
    """Start an encoder from pretrained weights, in place.

    The weights must be the encoder's, entry by entry; beyond these they may hold classifiers (``fc.``,
    ``classifier.``, ``AuxLogits.``), which are left out.

    Args:
        encoder: the module to fill, its entries named as in torchvision's model.
        weights: a torchvision weights name such as "IMAGENET1K_V1" (downloaded once, into the cache of
            ``torch.hub``, and found there by its file name), the path of a local state-dict file of any floating
            type, or None, which leaves the encoder as it is.
        architecture: torchvision's name of the model that the weights belong to, such as "vgg16_bn".
        prefix: where the encoder sits inside that model, such as "features."; a local file may hold the whole
            model or the encoder alone.

    Raises:
        InputError: ``weights`` is neither a file nor a known name, cannot be downloaded, or does not fit the
            encoder.
    """
    if weights is None:
        return
    state = {
        name.removeprefix(prefix): value
        for name, value in _read_weights(weights, architecture).items()
        if not name.startswith(CLASSIFIERS)
    }
    fill_encoder(encoder, state, weights, f"torchvision's {architecture}")


def fill_encoder(encoder: nn.Module, state: Mapping[str, Tensor], weights: str, source: str) -> None:
    """Load a state dict into an encoder, entry by entry, in place.

    Args:
        encoder: the module to fill.
        state: tensors of any floating type by the encoder's names; only batch counters may be missing.
        weights: what the user asked for, for the message.
        source: the model whose weights fit, for the message.

    Raises:
        InputError: an entry is missing, unknown or of another shape.
    """
    expected = encoder.state_dict()
    # Old checkpoints have no batch counters.
    lacking = {name for name in expected.keys() - state.keys() if not name.endswith("num_batches_tracked")}
    misshapen = {name for name in expected.keys() & state.keys() if state[name].shape != expected[name].shape}
    problems = [
        f"{what}: {len(names)}, such as {min(names)!r}"
        for what, names in (
            ("missing", lacking),
            ("unknown", state.keys() - expected.keys()),
            ("of another shape", misshapen),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"the encoder weights {weights!r} do not fit this encoder (entries {'; '.join(problems)}); give "
            f"those of {source}."
        )
    encoder.load_state_dict(state, strict=False)


def read_state_dict(path: str) -> Mapping[str, Tensor]:
    """Read a file of named tensors, on the CPU.

    Args:
        path: a state dict saved with ``torch.save``.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"the encoder weights {path!r} cannot be read; give a state dict saved with torch.save."
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(
            f"the encoder weights {path!r} hold something other than names and tensors; save "
            f"model.state_dict() itself with torch.save."
        )
    return state


def _read_weights(weights: str, architecture: str) -> Mapping[str, Tensor]:
    if Path(weights).is_file():
        return read_state_dict(weights)
    known = get_model_weights(architecture)
    if weights not in known.__members__:
        raise InputError(
            f"the encoder weights {weights!r} are neither a file nor torchvision's name of weights for "
            f"{architecture}; give a path, one of {', '.join(known.__members__)}, or None for a start from nothing."
        )
    url = known[weights].url
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    try:
        return known[weights].get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        if cached.is_file():
            raise InputError(
                f"{cached} is not a file of weights ({type(error).__name__}); delete it, and it is downloaded "
                "again."
            ) from error
        raise InputError(
            f"torchvision's {weights} weights of {architecture} are not on this machine, and {url} cannot be "
            f"downloaded ({getattr(error, 'reason', error)}); give their file by --encoder_weights FILE, or "
            f"--encoder_weights None for a start from nothing."
        ) from error


def first_convolution(convolution: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """The first convolution of an encoder for images of any number of channels.

    Args:
        convolution: the encoder's own.
        in_channels: channels of the images.

    Returns:
        ``convolution`` itself where it takes as many channels, else a new one of the same geometry, with Kaiming's
        normal weights.
    """
    if convolution.in_channels == in_channels:
        return convolution
    new = nn.Conv2d(
        in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new

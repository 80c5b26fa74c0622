"""Initial weights of a training: pretrained weights, statistics and priors of its data, another bundle's weights."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.data.masks import count_pixels
from dermaseg_monai.networks import calibrate_batch_norms
from dermaseg_monai.networks.blocks import Head
from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

_CALIBRATING_BATCHES = 2


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


def calibrate(network: nn.Module, loader: Iterable[Mapping[str, Any]]) -> nn.Module:
    """Give batch norms that came folded into pretrained convolutions the statistics of training images.

    Of several processes each sees other images; ``DistributedDataParallel`` gives them all the first one's.

    Args:
        network: changed in place, see :func:`dermaseg_monai.networks.calibrate_batch_norms`; its function stays
            as it is. One without folded norms is left alone, and nothing is loaded.
        loader: batches with normalised images (B, C, H, W) as ``image``; the first few are used.

    Returns:
        ``network``.
    """
    calibrate_batch_norms(network, (batch["image"] for batch in islice(loader, _CALIBRATING_BATCHES)))
    return network


def set_prior(network: nn.Module, dataset: Any | None) -> nn.Module:
    """Let a network of independent classes start from how often each class occurs.

    The bias of its classifiers becomes the logit of each class's share of the pixels, so that the first
    probabilities are these shares. Sigmoids that start at one half would spend the first epochs on finding
    out that most pixels show none of the classes, and the rare classes' gradient would drown in that.

    Args:
        network: changed in place.
        dataset: a set that :func:`dermaseg_monai.data.masks.mask_batches` takes; pixels are counted before
            any augmentation. None leaves the network as it is.

    Returns:
        ``network``.

    Raises:
        InputError: the network has no classifier with a logit for each channel of the masks.

    Reference: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 4.1.
    """
    if dataset is None:
        return network
    counts, pixels = count_pixels(dataset)
    heads = [module for module in network.modules() if isinstance(module, Head)]
    heads = [head for head in heads if head.out_channels == len(counts)]
    if not heads:
        raise InputError(
            f"{type(network).__name__} has no classifier with {len(counts)} logits whose bias could be set; pass "
            "--attribute_prior False."
        )
    # as if one of two further pixels showed each class: one that does not occur keeps a finite logit
    prior = torch.logit((counts.double() + 1) / (pixels + 2))
    with torch.no_grad():
        for head in heads:
            head.get_parameter("bias").copy_(prior)
    return network


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
    weights, state = _read(path), network.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if name in state and torch.is_tensor(value) and value.shape == state[name].shape
    }
    # batch counters fit any network with batch norm
    if not any(state[name].is_floating_point() for name in fitting):
        raise InputError(
            f"none of the {len(weights)} tensors in {path} fits this network by name and shape; start from a "
            "bundle that shares its encoder."
        )
    network.load_state_dict(fitting, strict=False)
    logger.info("started %d of the network's %d tensors from %s", len(fitting), len(state), path)
    return network


def load_weights(
    network: nn.Module, path: str | os.PathLike[str], device: torch.device | str | None = None
) -> nn.Module:
    """Load a bundle's weights into its network.

    Args:
        network: the network as its config builds it.
        path: a state dict written by the trainer, in single or half precision.
        device: where the network goes then, its weights in the order "channels last"; None leaves it where it is.

    Returns:
        ``network``, with the weights of ``path``.

    Raises:
        InputError: the file is missing, not a file of weights, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"there are no weights at {path}; train the bundle first or point --ckpt_dir at its model.pt."
        )
    try:
        network.load_state_dict(_read(path))
    except (RuntimeError, AttributeError) as error:
        detail = " ".join(str(error).split())[:200]
        raise InputError(
            f"the weights in {path} are of another network than the config's: {detail}"
        ) from error
    return network if device is None else network.to(device).to(memory_format=torch.channels_last)


def halved(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights in half precision, as bundles ship them: half the size on disk.

    Args:
        weights: a state dict, in any precision.

    Returns:
        the same names; tensors of floating point in float16, counters as they are.

    Example:
        >>> halved({"weight": torch.ones(1), "steps": torch.tensor(3)})
        {'weight': tensor([1.], dtype=torch.float16), 'steps': tensor(3)}
    """
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(weights, Mapping):
            raise TypeError
    except Exception as error:
        raise InputError(
            f"{path} is not a file of weights ({type(error).__name__}); download or train it again."
        ) from error
    return weights

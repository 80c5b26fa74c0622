"""Parameter groups of an optimiser: what decays, and at which rate."""

from __future__ import annotations

from typing import Any

from torch import nn

from dermaseg_monai.utils.distributed import unwrapped
from dermaseg_monai.utils.errors import InputError


def parameter_groups(network: nn.Module, encoder_lr: float | None = None) -> list[dict[str, Any]]:
    """Group a network's trainable parameters by what an optimiser may do with them.

    Weight decay is for the weights of convolutions, linear layers and attention. Norms, biases, position
    embeddings, relative position biases, other embeddings and layer scales get none: to pull these towards zero
    makes a network no simpler.

    Args:
        network: may be inside a ``DistributedDataParallel``.
        encoder_lr: learning rate of the parameters of ``network.encoder``, at least 0; None leaves them the
            optimiser's.

    Returns:
        Groups for any PyTorch optimiser, those with weight decay and the optimiser's own rate first. What a group
        does not say (``lr``, ``weight_decay``) is the optimiser's default.

    Raises:
        InputError: ``encoder_lr`` is below 0, or the network has no ``encoder``.

    Example:
        >>> groups = parameter_groups(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
        >>> [(len(group["params"]), group.get("weight_decay")) for group in groups]
        [(1, None), (3, 0.0)]

    Reference: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; what it leaves alone is
        custom since BERT (Devlin et al. 2019) and ConvNeXt (Liu et al. 2022).
    """
    network = unwrapped(network)
    encoder: set[int] = set()
    if encoder_lr is not None:
        if encoder_lr < 0:
            raise InputError(
                f"the learning rate of the encoder is {encoder_lr}; give an encoder_rate of 0 or more."
            )
        module = getattr(network, "encoder", None)
        if not isinstance(module, nn.Module):
            raise InputError(f"{type(network).__name__} has no encoder; leave encoder_rate out.")
        encoder = {id(parameter) for parameter in module.parameters()}
    embeddings = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {
        (in_encoder, spared): [] for in_encoder in (False, True) for spared in (False, True)
    }
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = name.endswith("weight") and parameter.ndim > 1 and id(parameter) not in embeddings
            groups[id(parameter) in encoder, not decays].append(parameter)
    return [
        {
            "params": parameters,
            **({"lr": encoder_lr} if in_encoder else {}),
            **({"weight_decay": 0.0} if spared else {}),
        }
        for (in_encoder, spared), parameters in groups.items()
        if parameters
    ]

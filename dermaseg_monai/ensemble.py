"""Several trained bundles as one network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.errors import InputError
from dermaseg_monai.members import load_member


class Ensemble(nn.Module):
    """The weighted mean of several networks' probabilities, of the lesion or of each attribute.

    Each network sees the image at its own size and keeps its own mode; probabilities are brought to the size of
    the image, averaged, and returned as logits of the first network's mode, so that an ensemble stands wherever
    that network does.

    Args:
        networks: the members; the first one's size is that of the images.
        modes: "binary" or "two_class" for each, or "multilabel" for all.
        sizes: (height, width) for each.
        weights: share of each, at least 0 with a positive sum; equal shares by default.

    Raises:
        InputError: the lists differ in length, lesion and attribute networks are mixed, or the weights are
            impossible.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        modes: Sequence[str],
        sizes: Sequence[Sequence[int]],
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        weights = [1.0] * len(networks) if weights is None else list(weights)
        if not len(networks) == len(modes) == len(sizes) == len(weights):
            raise InputError(
                f"an ensemble of {len(networks)} members got {len(weights)} weights; give one for each, its own first."
            )
        if min(weights) < 0 or sum(weights) <= 0:
            raise InputError(f"ensemble weights are {weights}; they must be at least 0 and not all 0.")
        if len({mode == "multilabel" for mode in modes}) > 1:
            raise InputError("an ensemble joins lesion bundles or attribute bundles, but not both.")
        self.networks = nn.ModuleList(networks)
        self.modes = list(modes)
        self.sizes = [(int(height), int(width)) for height, width in sizes]
        self.weights = [weight / sum(weights) for weight in weights]

    def forward(self, image: Tensor) -> Tensor:
        """Segment normalised images ``(B, 3, H, W)``; returns logits ``(B, C, H, W)``."""
        size = image.shape[-2:]
        probability = torch.zeros((), device=image.device)
        for network, mode, own, weight in zip(
            self.networks, self.modes, self.sizes, self.weights, strict=True
        ):
            logits = network(_resized(image, own)).float()
            if mode == "two_class":
                logits = logits[:, 1:] - logits[:, :1]
            probability = probability + weight * _resized(logits.sigmoid(), (size[0], size[1]))
        logit = torch.logit(probability, eps=1e-7)
        return torch.cat([-logit / 2, logit / 2], dim=1) if self.modes[0] == "two_class" else logit


def with_members(
    network: nn.Module,
    mode: str,
    size: Sequence[int],
    bundles: Sequence[str],
    weights: Sequence[float] | None = None,
) -> nn.Module:
    """Join further trained bundles to a network.

    Args:
        network: the bundle's own, with its weights.
        mode: its mode.
        size: (height, width) it is given.
        bundles: names or folders of the others, each with ``models/model.pt``; none leaves ``network`` as it is.
        weights: share of each member, the network's own first.

    Returns:
        ``network``, or an :class:`Ensemble` that starts with it.

    Raises:
        InputError: a bundle is unknown, has no weights or another task, takes prompts, or the weights don't fit.
    """
    if not bundles:
        return network
    networks, modes, sizes = [network], [mode], [size]
    for member in map(load_member, bundles):
        networks.append(member.network)
        modes.append(member.mode)
        sizes.append(member.size)
    return Ensemble(networks, modes, sizes, weights)


def _resized(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    if tensor.shape[-2:] == size:
        return tensor
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=False, antialias=True)

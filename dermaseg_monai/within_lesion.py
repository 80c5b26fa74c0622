"""Attributes only where a lesion bundle sees a lesion."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.members import load_member

_ABSENT = -20.0  # a logit whose sigmoid, 2e-9, is below every threshold there is


class WithinLesion(nn.Module):
    """A network of attributes whose logits count only inside the lesion that another network finds.

    Where no lesion is found anywhere in a photo its attributes are left as they are.

    Args:
        network: gives attribute logits.
        lesion: gives lesion logits.
        mode: "binary" or "two_class", of ``lesion``.
        size: (height, width) that ``lesion`` is given.
        threshold: lesion probability from which a pixel counts as lesion, 0 to 1.
    """

    def __init__(
        self,
        network: nn.Module,
        lesion: nn.Module,
        mode: str,
        size: tuple[int, int],
        threshold: float = 0.5,
    ) -> None:
        super().__init__()
        self.network = network
        self.lesion = lesion
        self.mode = mode
        self.size = size
        self.threshold = threshold

    def forward(self, image: Tensor) -> Tensor:
        """Segment normalised images ``(B, 3, H, W)``; returns logits ``(B, C, H, W)``."""
        logits = self.network(image)
        outline = self.lesion(_resized(image, self.size)).float()
        if self.mode == "two_class":
            outline = outline[:, 1:] - outline[:, :1]
        inside = _resized(outline.sigmoid(), (image.shape[-2], image.shape[-1])) >= self.threshold
        inside = inside | ~inside.flatten(1).any(dim=1)[:, None, None, None]
        return torch.where(inside, logits, logits.clamp(max=_ABSENT))


def restricted(network: nn.Module, lesion_bundle: str | os.PathLike[str] | None) -> nn.Module:
    """Restrict attributes to the lesion that a trained bundle finds.

    Args:
        network: gives attribute logits.
        lesion_bundle: name or folder of a lesion bundle with ``models/model.pt``; None for no restriction.

    Returns:
        ``network``, or a :class:`WithinLesion` around it.

    Raises:
        InputError: the bundle is unknown, has no weights, takes prompts, or segments attributes.
    """
    if lesion_bundle is None:
        return network
    return WithinLesion(network, *load_member(lesion_bundle, lesion=True))


def _resized(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(tensor.shape[-2:]) == size:
        return tensor
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=False, antialias=True)

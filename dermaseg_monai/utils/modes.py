"""Output modes: what the channels of a network's logits mean.

- ``"binary"``: logits ``(B, 1, H, W)``, sigmoid.
- ``"two_class"``: logits ``(B, 2, H, W)``, softmax; channel 1 is the lesion. The softmax over two logits is the sigmoid
  of their difference, which stands for both.
- ``"multilabel"``: logits ``(B, C, H, W)``, independent sigmoids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from dermaseg_monai.utils.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["binary", "two_class", "multilabel"]

MODES = ("binary", "two_class", "multilabel")
"""The modes by name."""

_CHANNELS = {"binary": 1, "two_class": 2}


def check_mode(mode: str, known: Sequence[str] = MODES) -> None:
    """Refuse an unknown mode.

    Args:
        mode: the name.
        known: the names to choose from.

    Raises:
        InputError: the mode is none of these.
    """
    if mode not in known:
        raise InputError(f"mode is '{mode}'; it must be one of {', '.join(known)}.")


def mode_channels(mode: str) -> int | None:
    """The number of logit channels of a mode; None where it is open (``"multilabel"``)."""
    return _CHANNELS.get(mode)


def foreground_logits(logits: Tensor, mode: str) -> Tensor:
    """The logits whose sigmoid is the probability of the foreground.

    Args:
        logits: ``(..., C, H, W)`` with the channels of the mode.
        mode: one of :data:`MODES`.

    Returns:
        ``(..., 1, H, W)`` of two classes, otherwise the logits themselves.
    """
    return logits[..., 1:, :, :] - logits[..., :1, :, :] if mode == "two_class" else logits


def logits_of_mode(foreground: Tensor, mode: str) -> Tensor:
    """Logits of a mode from foreground logits, the inverse of :func:`foreground_logits`.

    Args:
        foreground: ``(..., C, H, W)``, C = 1 for two classes.
        mode: one of :data:`MODES`.
    """
    import torch

    return torch.cat([-foreground / 2, foreground / 2], dim=-3) if mode == "two_class" else foreground

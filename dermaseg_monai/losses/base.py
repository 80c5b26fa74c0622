"""Base of the losses on logits and masks: modes, shapes and precision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.modes import check_mode, foreground_logits, mode_channels
from dermaseg_monai.utils.tensors import plain


class MaskLoss(nn.Module, ABC):
    """A loss between logits and masks, as a number to minimise.

    Shapes by ``mode``:

    - ``"binary"``: logits ``(B, 1, H, W)``, sigmoid; target ``(B, 1, H, W)``.
    - ``"two_class"``: logits ``(B, 2, H, W)``, softmax, channel 1 is the lesion; target ``(B, 1, H, W)``.
    - ``"multilabel"``: logits ``(B, C, H, W)``, independent sigmoids; target ``(B, C, H, W)``.

    The softmax over two logits is the sigmoid of their difference, so two-class logits are judged by that
    difference and every loss is the same number in ``"two_class"`` as in ``"binary"``.

    Losses are computed in float32, or float64 for float64 logits, also under autocast. They hold no tensors,
    never wait for the device, and branch on shapes only: they can be compiled and captured in CUDA graphs.

    Args:
        mode: one of :data:`dermaseg_monai.utils.modes.MODES`.

    Raises:
        InputError: the mode is unknown.
    """

    def __init__(self, mode: str = "binary") -> None:
        super().__init__()
        check_mode(mode)
        self.mode = mode

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compare logits with masks.

        Args:
            logits: of the shape that ``mode`` says, any floating type.
            target: masks of 0 and 1, or soft labels between; of the shape that ``mode`` says, any type.

        Returns:
            The loss, a scalar of float32 or float64.

        Raises:
            InputError: the shapes do not fit each other or the mode.
        """
        self._check(logits, target)
        logits = foreground_logits(at_least_single(plain(logits)), self.mode)
        return self.compare(logits, plain(target).to(logits.dtype))

    @abstractmethod
    def compare(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of foreground logits against a target of the same shape ``(B, C, H, W)`` and type."""

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self, logits: Tensor, target: Tensor) -> None:
        if not isinstance(logits, Tensor):
            raise InputError(
                f"{self._name} takes one tensor of logits but got {type(logits).__name__}; wrap it in "
                "DeepSupervisionLoss for networks that return several."
            )
        channels = mode_channels(self.mode)
        if logits.ndim != 4 or (channels is not None and logits.shape[1] != channels):
            raise InputError(
                f"logits have shape {tuple(logits.shape)}, but {self._name} in mode '{self.mode}' takes "
                f"(B, {channels or 'C'}, H, W); choose the mode that fits the network's output channels."
            )
        expected = (logits.shape[0], 1 if channels else logits.shape[1], *logits.shape[2:])
        if target.shape != expected:
            raise InputError(
                f"target has shape {tuple(target.shape)}, but {self._name} in mode '{self.mode}' takes "
                f"{expected} for logits of shape {tuple(logits.shape)}; give masks of that shape."
            )


def at_least_single(values: Tensor) -> Tensor:
    """The values in float32, or in float64 where they are that already."""
    return values if values.dtype == torch.float64 else values.float()


def check_not_negative(owner: str, name: str, value: float) -> None:
    """Raise ``InputError`` if ``value``, the argument ``name`` of ``owner``, is negative."""
    if value < 0:
        raise InputError(f"{name} of {owner} must not be negative, but is {value}.")


def check_positive(owner: str, name: str, value: float) -> None:
    """Raise ``InputError`` unless ``value``, the argument ``name`` of ``owner``, is above zero."""
    if value <= 0:
        raise InputError(f"{name} of {owner} must be above 0, but is {value}.")


def per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    """Numbers per channel as a tensor ``(1, C, 1, 1)`` of the device and type of ``like``.

    Filled on the device from scalars: a copy from the host would forbid capture in CUDA graphs, and a buffer
    would have to be moved to the device by every config.
    """
    return torch.cat([like.new_full((1, 1, 1, 1), value) for value in values], dim=1)


def weight_pairs(
    owner: str, mode: str, weight: Sequence[float] | Sequence[Sequence[float]]
) -> list[tuple[float, float]]:
    """Read the argument ``weight`` of ``owner``: the weights of absent and present pixels, a pair per channel.

    Args:
        owner: the loss, for messages.
        mode: of the loss.
        weight: in ``"multilabel"`` one number or one pair per channel, otherwise one pair.

    Raises:
        InputError: ``weight`` has another form, or a number is negative.
    """
    rows = [tuple(row) if isinstance(row, Sequence) else (row,) for row in weight]
    widths = {len(row) for row in rows}
    if mode != "multilabel" and len(rows) == 2 and widths == {1}:
        rows = [(rows[0][0], rows[1][0])]
    elif mode == "multilabel" and widths == {1}:
        rows = [row * 2 for row in rows]
    elif mode != "multilabel" or widths != {2}:
        expected = "one number or one pair per channel" if mode == "multilabel" else "two numbers"
        raise InputError(f"weight of {owner} in mode '{mode}' must be {expected}, but is {weight}.")
    if min(min(row) for row in rows) < 0:
        raise InputError(f"weight of {owner} must not be negative, but is {weight}.")
    return [(float(absent), float(present)) for absent, present in rows]


def per_channel_pair(owner: str, pairs: Sequence[tuple[float, float]], like: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of absent and of present pixels, each a tensor as ``per_channel`` makes it.

    Raises:
        InputError: there are more channels than pairs, or fewer.
    """
    if len(pairs) != like.shape[1]:
        raise InputError(
            f"logits have {like.shape[1]} channels, but weight of {owner} is for {len(pairs)}; give one number or "
            "pair per channel."
        )
    absent, present = zip(*pairs, strict=True)
    return per_channel(absent, like), per_channel(present, like)

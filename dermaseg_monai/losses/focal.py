"""Focal loss: cross-entropy in which pixels that are already right count little."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from dermaseg_monai.losses.base import (
    MaskLoss,
    check_not_negative,
    per_channel,
    per_channel_pair,
    weight_pairs,
)
from dermaseg_monai.utils.errors import InputError


class FocalLoss(MaskLoss):
    """Mean over all pixels of ``-(1 - q) ** gamma * log(q)``, q being the probability given to the true class.

    With a soft label t it is t times the loss of a foreground pixel plus 1 - t times that of a background
    pixel. (MONAI's FocalLoss agrees on labels of 0 and 1, but is not made for soft ones, rounds float64 logits
    and copies ``alpha`` from the host at every call, which CUDA graphs forbid; in two-class mode it divides by
    the two channels.)

    Args:
        mode: ``"binary"``, ``"two_class"`` or ``"multilabel"``; ``MaskLoss`` says what shapes each takes.
        gamma: how much less right pixels count, at least 0; 0 is cross-entropy.
        alpha: weight of foreground pixels, in [0, 1], background pixels weighing ``1 - alpha``; in
            ``"multilabel"`` also one number per channel. None: both weigh 1.
        weight: weights in the place of ``alpha``, as ``CrossEntropyLoss`` takes them.

    Raises:
        InputError: an argument is out of range, or both ``alpha`` and ``weight`` are given.

    Reference: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (gamma 2, alpha 0.25).

    Example:
        >>> import torch
        >>> target = torch.tensor([[[[1, 0], [0, 0]]]])
        >>> print(f"{FocalLoss(gamma=2.0)(torch.zeros(1, 1, 2, 2), target):.4f}")  # a quarter of the logarithm of 2
        0.1733
    """

    def __init__(
        self,
        mode: str = "binary",
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
        weight: Sequence[float] | Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__(mode)
        check_not_negative(self._name, "gamma", gamma)
        alphas = [alpha] if isinstance(alpha, (int, float)) else alpha
        if alphas is not None and not all(0 <= value <= 1 for value in alphas):
            raise InputError(f"alpha of {self._name} must be in [0, 1], but is {alpha}.")
        if alphas is not None and weight is not None:
            raise InputError(f"{self._name} has both alpha and weight; give one of them.")
        self.gamma = gamma
        self.alpha = alphas
        self.weight = None if weight is None else weight_pairs(self._name, mode, weight)

    def compare(self, logits: Tensor, target: Tensor) -> Tensor:
        log_present, log_absent = F.logsigmoid(logits), F.logsigmoid(-logits)
        # Powers through logarithms, which keep their precision where probabilities reach 0 or 1.
        present = -target * (self.gamma * log_absent).exp() * log_present
        absent = (target - 1) * (self.gamma * log_present).exp() * log_absent
        if self.weight is not None:
            weight_absent, weight_present = per_channel_pair(self._name, self.weight, logits)
            return (weight_present * present + weight_absent * absent).mean()
        if self.alpha is None:
            return (present + absent).mean()
        if len(self.alpha) not in (1, logits.shape[1]):
            raise InputError(
                f"logits have {logits.shape[1]} channels, but alpha of {self._name} has "
                f"{len(self.alpha)} numbers; give one, or one per channel."
            )
        alpha = per_channel(self.alpha, logits)
        return (alpha * present + (1 - alpha) * absent).mean()

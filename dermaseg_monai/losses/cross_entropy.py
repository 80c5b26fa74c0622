"""Cross-entropy of one logit, two classes or several labels, plain or weighted."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from dermaseg_monai.losses.base import MaskLoss, per_channel_pair, weight_pairs
from dermaseg_monai.utils.errors import InputError


class CrossEntropyLoss(MaskLoss):
    """Mean cross-entropy of all pixels: of sigmoids, or in two-class mode of the softmax.

    Args:
        mode: ``"binary"``, ``"two_class"`` or ``"multilabel"``; ``MaskLoss`` says what shapes each takes.
        weight: what to multiply the pixels' cross-entropy with; none weigh 1. In ``"binary"`` and ``"two_class"``
            two numbers, of background and lesion. In ``"multilabel"`` one number per channel, or one pair per
            channel, of absent and present. ``inverse_frequency_weights`` makes such lists. The sum is divided
            by the number of pixels, not of their weights, so that a rare class counts the same in every
            batch.
        label_smoothing: in [0, 1): the share of each label that is replaced by one half.

    Raises:
        InputError: an argument is out of range, or ``weight`` does not fit the mode.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 1, 2, 2)  # undecided: the logarithm of 2
        >>> target = torch.tensor([[[[1, 0], [0, 0]]]])
        >>> print(f"{CrossEntropyLoss()(logits, target):.4f}")
        0.6931
        >>> loss = CrossEntropyLoss(mode="two_class", weight=(1.0, 3.0))
        >>> print(f"{loss(torch.zeros(1, 2, 2, 2), target):.4f}")
        1.0397
    """

    def __init__(
        self,
        mode: str = "binary",
        weight: Sequence[float] | Sequence[Sequence[float]] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(mode)
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing of {self._name} must be in [0, 1), but is {label_smoothing}.")
        self.weight = None if weight is None else weight_pairs(self._name, mode, weight)
        self.label_smoothing = label_smoothing

    def compare(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.weight is None:
            return F.binary_cross_entropy_with_logits(logits, target)
        absent, present = per_channel_pair(self._name, self.weight, logits)
        # PyTorch's weight and pos_weight cannot express this for soft labels and a zero weight of absent.
        positive = present * target * F.logsigmoid(logits)
        negative = absent * (1 - target) * F.logsigmoid(-logits)
        return -(positive + negative).mean()

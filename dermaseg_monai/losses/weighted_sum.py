"""Sums of losses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dermaseg_monai.losses.base import check_not_negative
from dermaseg_monai.utils.errors import InputError


class WeightedSum(nn.Module):
    """The weighted sum of several losses of the same outputs, such as 0.5 Dice + 0.5 cross-entropy.

    Args:
        losses: modules that compare outputs with a target, at least one.
        weights: what to multiply each with, at least 0; None: 1 each. They are used as they are, not
            normalised.

    Raises:
        InputError: there are no losses, the numbers of losses and weights differ, or a weight is negative.

    Example:
        >>> import torch
        >>> from dermaseg_monai.losses import CrossEntropyLoss, DiceLoss
        >>> loss = WeightedSum([CrossEntropyLoss(), DiceLoss()], weights=[1.0, 0.5])
        >>> logits, target = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1, 0], [0, 0]]]])
        >>> print(f"{loss(logits, target):.4f}")
        1.0265
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = [1.0] * len(losses) if weights is None else list(weights)
        if not losses or len(weights) != len(losses):
            raise InputError(
                f"WeightedSum got {len(losses)} losses and {len(weights)} weights; give one weight per loss."
            )
        for weight in weights:
            check_not_negative("WeightedSum", "a weight", weight)
        self.losses = nn.ModuleList(losses)
        self.weights = weights

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compare outputs with masks.

        Args:
            logits: ``(B, C, H, W)``, passed on to every loss.
            target: masks, passed on to every loss.

        Returns:
            The weighted sum, a scalar.
        """
        terms = [
            weight * loss(logits, target) for weight, loss in zip(self.weights, self.losses, strict=True)
        ]
        return sum(terms[1:], start=terms[0])

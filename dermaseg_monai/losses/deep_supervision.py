"""Losses of networks that return several outputs in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.losses.base import check_not_negative
from dermaseg_monai.utils.errors import InputError


class DeepSupervisionLoss(nn.Module):
    """The weighted sum of one loss over the final and the auxiliary logits of a network.

    In train mode a network returns either its logits or, if it is deeply supervised, a dictionary
    ``{"logits": final, "auxiliary": [logits, ...]}``; in evaluation mode always the final logits alone. This
    loss takes both, and also a plain sequence of logits, final (finest) first. Logits may have any size:
    where it differs from the target's, the target is averaged over the area of each of their pixels. Such
    soft labels keep structures that are thinner than a coarse pixel.

    Args:
        loss: module that compares logits with a target.
        weights: one per output, the final one first, then the auxiliary ones in the network's order; used as
            they are, not normalised; at least 0. None: 1, 1/2, 1/4, ... Logits that come alone, not in a
            sequence or dictionary, always weigh 1.

    Raises:
        InputError: a weight is negative.

    Reference: Lee et al., "Deeply-Supervised Nets", AISTATS 2015.

    Example:
        >>> import torch
        >>> from dermaseg_monai.losses import CrossEntropyLoss
        >>> loss = DeepSupervisionLoss(CrossEntropyLoss())
        >>> outputs = {"logits": torch.zeros(1, 1, 4, 4), "auxiliary": [torch.zeros(1, 1, 2, 2)]}
        >>> print(f"{loss(outputs, torch.ones(1, 1, 4, 4)):.4f}")  # 1 and 1/2 times the logarithm of 2
        1.0397
    """

    def __init__(self, loss: nn.Module, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        for weight in weights or ():
            check_not_negative("DeepSupervisionLoss", "a weight", weight)
        self.loss = loss
        self.weights = None if weights is None else list(weights)

    def forward(self, outputs: Tensor | Sequence[Tensor] | Mapping[str, Any], target: Tensor) -> Tensor:
        """Compare all outputs with masks.

        Args:
            outputs: logits ``(B, C, H, W)``, a sequence of such, or a mapping with "logits" and "auxiliary".
            target: masks ``(B, C or 1, H, W)``, any type.

        Returns:
            The loss, a scalar.

        Raises:
            InputError: a mapping has no "logits", or there are more or fewer outputs than weights.
        """
        if isinstance(outputs, Tensor):
            return self._compare(outputs, target)
        if isinstance(outputs, Mapping):
            if "logits" not in outputs:
                raise InputError(
                    f"outputs have the keys {list(outputs)}; DeepSupervisionLoss needs 'logits', and "
                    "'auxiliary' for those beside it."
                )
            outputs = [outputs["logits"], *outputs.get("auxiliary", ())]
        weights = [0.5**i for i in range(len(outputs))] if self.weights is None else self.weights
        if not outputs or len(weights) != len(outputs):
            raise InputError(
                f"the network returned {len(outputs)} outputs, but DeepSupervisionLoss has "
                f"{len(weights)} weights; give one per output."
            )
        terms = [
            weight * self._compare(logits, target) for weight, logits in zip(weights, outputs, strict=True)
        ]
        return sum(terms[1:], start=terms[0])

    def _compare(self, logits: Tensor, target: Tensor) -> Tensor:
        size = logits.shape[2:]
        if target.shape[2:] != size:
            target = F.interpolate(target.float(), size=size, mode="area")
        return self.loss(logits, target)

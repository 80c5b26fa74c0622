"""Overlap losses: Dice, Jaccard, Tversky and focal Tversky.

All are one minus a Tversky index

    (TP + smooth) / (TP + alpha * FP + beta * FN + smooth)

of soft counts of the foreground: with probabilities p and target t, TP is the sum of min(p, t), FP of
max(p - t, 0) and FN of max(t - p, 0). For targets of 0 and 1 these are the usual sums of p * t, p * (1 - t)
and (1 - p) * t; for soft labels, unlike those, they make p = t the best prediction.

``smooth``, in pixels, settles empty masks. If target and prediction are both empty, the loss is 0. If only the
target is empty, the loss is ``1 - smooth / (alpha * sum(p) + smooth)``: finite, near 1 as soon as the predicted
area is well above ``smooth`` pixels, and with a gradient that fades with that area. A full mask needs no such
care. Where most masks are empty, as with the attributes, ``batch=True`` lets the images that have something
decide.

MONAI's DiceLoss and TverskyLoss compute the same numbers (with ``soft_label=True``), but read the axes to
reduce back from a tensor at every call, which breaks compiled graphs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dermaseg_monai.losses.base import MaskLoss, check_not_negative, check_positive


class TverskyLoss(MaskLoss):
    """One minus the Tversky index, which weighs false positives and false negatives differently.

    Args:
        mode: ``"binary"``, ``"two_class"`` or ``"multilabel"``; ``MaskLoss`` says what shapes each takes.
        alpha: weight of false positives, at least 0.
        beta: weight of false negatives, at least 0; above ``alpha`` it favours sensitivity.
        batch: count over the whole batch, per channel, instead of per image and channel.
        smooth: pixels added to numerator and denominator, above 0.

    Raises:
        InputError: an argument is out of range.

    Reference: Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep
        networks", MLMI 2017; Wang et al., "Dice Semimetric Losses", MICCAI 2023 (counts of soft labels).

    Example:
        >>> logits = torch.tensor([[[[9.0, 9.0, -9.0, -9.0]]]])
        >>> more, less = torch.tensor([[[[1, 0, 0, 0]]]]), torch.tensor([[[[1, 1, 1, 0]]]])
        >>> loss = TverskyLoss(alpha=0.3, beta=0.7)  # what is missed costs more than what is too much
        >>> print(f"{loss(logits, more):.4f} {loss(logits, less):.4f}")
        0.2309 0.2593
    """

    def __init__(
        self,
        mode: str = "binary",
        alpha: float = 0.3,
        beta: float = 0.7,
        batch: bool = False,
        smooth: float = 1e-5,
    ) -> None:
        super().__init__(mode)
        check_not_negative(self._name, "alpha", alpha)
        check_not_negative(self._name, "beta", beta)
        check_positive(self._name, "smooth", smooth)
        self.alpha = alpha
        self.beta = beta
        self.batch = batch
        self.smooth = smooth

    def distances(self, logits: Tensor, target: Tensor) -> Tensor:
        """One minus the index, ``(B, C)``, or ``(C,)`` if counted over the batch."""
        probability = logits.sigmoid()
        axes = (0, 2, 3) if self.batch else (2, 3)
        shared = torch.minimum(probability, target).sum(dim=axes)
        false_positive = probability.sum(dim=axes) - shared
        false_negative = target.sum(dim=axes) - shared
        missed = self.alpha * false_positive + self.beta * false_negative
        return missed / (shared + missed + self.smooth)

    def compare(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.distances(logits, target).mean()


class DiceLoss(TverskyLoss):
    """One minus the soft Dice coefficient: the Tversky loss with both errors weighing one half.

    Args:
        mode: ``"binary"``, ``"two_class"`` or ``"multilabel"``; ``MaskLoss`` says what shapes each takes.
        batch: count over the whole batch, per channel, instead of per image and channel.
        smooth: pixels added to intersection and mean area, above 0.

    Raises:
        InputError: an argument is out of range.

    Reference: Milletari et al., "V-Net", 3DV 2016 (here with plain, not squared, areas).

    Example:
        >>> logits = torch.tensor([[[[9.0, 9.0, -9.0, -9.0]]]])
        >>> target = torch.tensor([[[[1, 0, 0, 0]]]])
        >>> print(f"{DiceLoss()(logits, target):.4f}")
        0.3334
    """

    def __init__(self, mode: str = "binary", batch: bool = False, smooth: float = 1e-5) -> None:
        super().__init__(mode, alpha=0.5, beta=0.5, batch=batch, smooth=smooth)


class JaccardLoss(TverskyLoss):
    """One minus the soft Jaccard index: the Tversky loss with both errors weighing one.

    Args:
        mode: ``"binary"``, ``"two_class"`` or ``"multilabel"``; ``MaskLoss`` says what shapes each takes.
        batch: count over the whole batch, per channel, instead of per image and channel.
        smooth: pixels added to intersection and union, above 0.

    Raises:
        InputError: an argument is out of range.

    Reference: Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
        Segmentation", ISVC 2016.

    Example:
        >>> logits = torch.tensor([[[[9.0, 9.0, -9.0, -9.0]]]])
        >>> target = torch.tensor([[[[1, 0, 0, 0]]]])
        >>> print(f"{JaccardLoss()(logits, target):.4f}")
        0.5001
    """

    def __init__(self, mode: str = "binary", batch: bool = False, smooth: float = 1e-5) -> None:
        super().__init__(mode, alpha=1.0, beta=1.0, batch=batch, smooth=smooth)


class FocalTverskyLoss(TverskyLoss):
    """The mean of ``(1 - TI) ** (1 / gamma)``, TI being the Tversky index of each image and channel.

    The exponent is the paper's, ``1 / gamma``: ``gamma`` above 1 puts weight on images that are nearly right,
    below 1 on those that are far off, and 1 is the Tversky loss. The weights follow ``TverskyLoss``: ``beta`` is
    that of false negatives, which the paper calls alpha.

    Args:
        mode: ``"binary"``, ``"two_class"`` or ``"multilabel"``; ``MaskLoss`` says what shapes each takes.
        alpha: weight of false positives, at least 0.
        beta: weight of false negatives, at least 0.
        gamma: inverse of the exponent, above 0.
        batch: count over the whole batch, per channel, instead of per image and channel.
        smooth: pixels added to numerator and denominator, above 0.

    Raises:
        InputError: an argument is out of range.

    Reference: Abraham and Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net for Lesion
        Segmentation", ISBI 2019 (alpha 0.7 for false negatives, gamma 4/3).

    Example:
        >>> logits = torch.tensor([[[[9.0, 9.0, -9.0, -9.0]]]])
        >>> target = torch.tensor([[[[1, 0, 0, 0]]]])
        >>> print(f"{FocalTverskyLoss()(logits, target):.4f}")
        0.3331
    """

    def __init__(
        self,
        mode: str = "binary",
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 4 / 3,
        batch: bool = False,
        smooth: float = 1e-5,
    ) -> None:
        super().__init__(mode, alpha, beta, batch, smooth)
        check_positive(self._name, "gamma", gamma)
        self.gamma = gamma

    def compare(self, logits: Tensor, target: Tensor) -> Tensor:
        # The root's slope is infinite at 0, which a perfect prediction reaches; below the bound it is 0.
        return self.distances(logits, target).clamp(min=1e-7).pow(1 / self.gamma).mean()

"""Loss of networks with a region, a boundary and an uncertainty head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.losses.base import at_least_single, check_not_negative
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.modes import foreground_logits
from dermaseg_monai.utils.tensors import plain


def contour_band(mask: Tensor, width: int) -> Tensor:
    """Morphological gradient of a mask: dilation minus erosion by a square.

    Of a soft mask it is the soft edge, differentiable. The frame of the image is no contour: a mask that is
    full has no band.

    Args:
        mask: ``(B, 1, H, W)``, floating, in [0, 1].
        width: pixels of the band on either side of the contour, at least 1.

    Returns:
        The band, ``(B, 1, H, W)``, in [0, 1]: 1 within ``width`` pixels (chessboard distance) of the contour of a
        binary mask.

    Example:
        >>> import torch
        >>> mask = torch.tensor([[[[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]]])
        >>> contour_band(mask, width=1)
        tensor([[[[0., 0., 1., 1., 0., 0.]]]])
    """
    size = 2 * width + 1
    dilated = F.max_pool2d(mask, size, stride=1, padding=width)
    eroded = -F.max_pool2d(-mask, size, stride=1, padding=width)
    return dilated - eroded


class BoundaryAwareLoss(nn.Module):
    """Overlap, boundary, uncertainty and contour consistency, for the outputs of a boundary-aware network.

    The sum of

    - the overlap loss of the final logits, and ``region_weight`` times that of the coarse logits;
    - ``boundary_weight`` times the cross-entropy of the boundary head against the band around the mask's
      contour, where band and rest of the batch weigh the same, as the band is small;
    - ``uncertainty_weight`` times the cross-entropy of the uncertainty head against where the coarse prediction
      is wrong; it is not balanced, so that the head's probabilities are calibrated;
    - ``consistency_weight`` times one minus the Dice overlap between the soft edge of the final prediction and
      the boundary head's probabilities, mean over the batch; its gradient reaches the final prediction only,
      so that the boundary head learns from the mask alone.

    Terms of heads that the network does not have are left out. A plain tensor, which is what networks return
    in evaluation mode, is judged by the overlap loss alone.

    Args:
        overlap_loss: module that compares logits ``(B, C, H, W)``, C = 1 (sigmoid) or 2 (softmax, channel 1 is
            the lesion), with a target ``(B, 1, H, W)``.
        region_weight: of the coarse prediction's overlap loss, at least 0.
        boundary_weight: of the boundary head's cross-entropy, at least 0.
        uncertainty_weight: of the uncertainty head's cross-entropy, at least 0.
        consistency_weight: of the contour consistency, at least 0.
        band_width: pixels of the band on either side of the contour, at least 1.

    Raises:
        InputError: a weight is negative or ``band_width`` is below 1.

    Reference: Xie and Tu, "Holistically-Nested Edge Detection", ICCV 2015 (balanced cross-entropy); Milletari
        et al., "V-Net", 3DV 2016 (Dice overlap with squares); the combination is this project's.

    Example:
        >>> import torch
        >>> from dermaseg_monai.losses import DiceLoss
        >>> names = ("logits", "region", "boundary", "uncertainty")
        >>> outputs = {name: torch.zeros(1, 1, 8, 8) for name in names}
        >>> loss = BoundaryAwareLoss(DiceLoss())
        >>> loss(outputs, torch.ones(1, 1, 8, 8)).shape
        torch.Size([])
    """

    def __init__(
        self,
        overlap_loss: nn.Module,
        region_weight: float = 0.4,
        boundary_weight: float = 0.2,
        uncertainty_weight: float = 0.2,
        consistency_weight: float = 0.1,
        band_width: int = 2,
    ) -> None:
        super().__init__()
        weights = {
            "region_weight": region_weight,
            "boundary_weight": boundary_weight,
            "uncertainty_weight": uncertainty_weight,
            "consistency_weight": consistency_weight,
        }
        for name, weight in weights.items():
            check_not_negative("BoundaryAwareLoss", name, weight)
        if band_width < 1:
            raise InputError(f"band_width of BoundaryAwareLoss must be at least 1, but is {band_width}.")
        self.overlap_loss = overlap_loss
        self.region_weight = region_weight
        self.boundary_weight = boundary_weight
        self.uncertainty_weight = uncertainty_weight
        self.consistency_weight = consistency_weight
        self.band_width = band_width

    def forward(self, outputs: Tensor | Mapping[str, Tensor], target: Tensor) -> Tensor:
        """Compare outputs with masks.

        Args:
            outputs: final logits ``(B, C, H, W)``, or a mapping with ``logits`` and ``region`` ``(B, C, H, W)`` and,
                where the network has the heads, logits ``boundary`` and ``uncertainty`` ``(B, 1, H, W)``; any
                floating type, computed in at least single precision.
            target: masks of 0 and 1, ``(B, 1, H, W)``, any type.

        Returns:
            The loss, a scalar.
        """
        if isinstance(outputs, Tensor):
            return self.overlap_loss(outputs, target)
        # Plain tensors: MetaTensors would pass through MONAI's bookkeeping at every operation below.
        maps = {name: at_least_single(plain(value)) for name, value in outputs.items()}
        mask = plain(target).to(maps["logits"].dtype)
        loss = self.overlap_loss(maps["logits"], target)
        loss = loss + self.region_weight * self.overlap_loss(maps["region"], target)
        if "boundary" in maps:
            band = contour_band(mask, self.band_width)
            loss = loss + self.boundary_weight * _balanced_cross_entropy(maps["boundary"], band)
            edge = contour_band(_lesion_logit(maps["logits"]).sigmoid(), self.band_width)
            disagreement = _dice_distance(edge, maps["boundary"].detach().sigmoid())
            loss = loss + self.consistency_weight * disagreement
        if "uncertainty" in maps:
            wrong = ((_lesion_logit(maps["region"].detach()) > 0) != (mask > 0.5)).to(mask.dtype)
            cross_entropy = F.binary_cross_entropy_with_logits(maps["uncertainty"], wrong)
            loss = loss + self.uncertainty_weight * cross_entropy
        return loss


def _lesion_logit(logits: Tensor) -> Tensor:
    """Logit of the lesion's probability, ``(B, 1, H, W)``."""
    return foreground_logits(logits, "two_class" if logits.shape[1] == 2 else "binary")


def _balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean of the positives' and the negatives' mean cross-entropy; a class without a pixel counts 0."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    rest = 1 - target
    positive = (cross_entropy * target).sum() / target.sum().clamp(min=1)
    negative = (cross_entropy * rest).sum() / rest.sum().clamp(min=1)
    return (positive + negative) / 2


def _dice_distance(first: Tensor, second: Tensor) -> Tensor:
    """One minus the Dice overlap of two soft maps, mean over the batch; 0 where both are empty."""
    shared = (first * second).sum(dim=(1, 2, 3))
    total = (first.square() + second.square()).sum(dim=(1, 2, 3))
    # Adding 1, about a pixel, keeps images without a lesion finite and weighs their faint edges little.
    return (1 - (2 * shared + 1) / (total + 1)).mean()

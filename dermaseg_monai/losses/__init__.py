"""Losses of segmentation, in one vocabulary for one-logit, two-class and multilabel outputs."""

from __future__ import annotations

from dermaseg_monai.losses.boundary_aware import BoundaryAwareLoss, contour_band
from dermaseg_monai.losses.class_weights import inverse_frequency_weights
from dermaseg_monai.losses.cross_entropy import CrossEntropyLoss
from dermaseg_monai.losses.deep_supervision import DeepSupervisionLoss
from dermaseg_monai.losses.focal import FocalLoss
from dermaseg_monai.losses.lovasz import LovaszLoss
from dermaseg_monai.losses.overlap import DiceLoss, FocalTverskyLoss, JaccardLoss, TverskyLoss
from dermaseg_monai.losses.weighted_sum import WeightedSum

__all__ = [
    "BoundaryAwareLoss",
    "CrossEntropyLoss",
    "DeepSupervisionLoss",
    "DiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "JaccardLoss",
    "LovaszLoss",
    "TverskyLoss",
    "WeightedSum",
    "contour_band",
    "inverse_frequency_weights",
]

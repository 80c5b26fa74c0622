"""Recipes and references that several bundles of the catalogue share: data, with no torch behind it."""

from __future__ import annotations

from typing import Any

ISIC = (
    "Codella et al. Skin Lesion Analysis Toward Melanoma Detection 2018. arXiv:1902.03368",
    "Tschandl, Rosendahl and Kittler. The HAM10000 dataset. Scientific Data 5, 2018. doi:10.1038/sdata.2018.161",
)
"""References of the data set, for every bundle."""

UNET = (
    "Ronneberger, Fischer and Brox. U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015. "
    "arXiv:1505.04597"
)
DEEPLAB = "Chen et al. Rethinking Atrous Convolution for Semantic Image Segmentation. 2017. arXiv:1706.05587"
GATES = "Oktay et al. Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018. arXiv:1804.03999"
MOBILENET = (
    "Sandler et al. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018. arXiv:1801.04381"
)

IMAGENET = "IMAGENET1K_V1"
"""The pretrained weights of encoders by their number: DEFAULT is another one with each release of torchvision."""

FROM_IMAGENET = "encoder from ImageNet"

WEIGHT_AVERAGE = {"_target_": "dermaseg_monai.handlers.WeightAverage", "network": "@network", "decay": 0.998}
"""The handler that averages a network's weights exponentially, for the id ``average``."""


def score_handlers(*metrics: str) -> dict[str, Any]:
    """The handlers that score lesion masks in validation, by the names of their metrics."""
    handler = {"_target_": "dermaseg_monai.handlers.SegmentationHandler", "mode": "@mode"}
    return {metric: {**handler, "metric": metric} for metric in metrics}

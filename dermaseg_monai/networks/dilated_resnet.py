"""ResNet-50 with dilations in place of strides: the encoder of DeepLabV3."""

from __future__ import annotations

from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter

from dermaseg_monai.networks.encoder_weights import first_convolution, load_encoder_weights
from dermaseg_monai.utils.errors import InputError

DILATIONS = {8: (12, 24, 36), 16: (6, 12, 18)}
"""Rates of the pyramid by output stride: the same field of view in pixels of the image (section 4.1 of the paper)."""


def dilated_resnet50(
    in_channels: int, output_stride: int, weights: str | None, layers: dict[str, str]
) -> IntermediateLayerGetter:
    """Build torchvision's ResNet-50 whose last stages keep their size.

    Args:
        in_channels: channels of the images.
        output_stride: 8 or 16, how much coarser than the image the last map is.
        weights: ImageNet start, see :func:`~dermaseg_monai.networks.encoder_weights.load_encoder_weights`.
        layers: the stages whose maps are returned, and the names under which they are.

    Returns:
        A module that takes images ``(B, in_channels, H, W)`` and returns the maps by name.

    Raises:
        InputError: ``output_stride`` is another number, or the weights do not fit.

    Reference: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image
        Segmentation", 2017, https://arxiv.org/abs/1706.05587
    """
    if output_stride not in DILATIONS:
        raise InputError(f"output_stride is {output_stride}; choose 8 or 16.")
    resnet = resnet50(weights=None, replace_stride_with_dilation=[False, output_stride == 8, True])
    resnet.conv1 = first_convolution(resnet.conv1, in_channels)
    encoder = IntermediateLayerGetter(resnet, layers)
    load_encoder_weights(encoder, weights, "resnet50")
    return encoder

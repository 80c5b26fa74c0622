"""DeepLabV3 on torchvision's dilated ResNet-50."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from dermaseg_monai.networks.blocks import Head, PooledBatchNorm2d
from dermaseg_monai.networks.dilated_resnet import DILATIONS, dilated_resnet50
from dermaseg_monai.networks.sizes import check_minimum_size, resize_to_input

_PYRAMID_CHANNELS = 256
_AUXILIARY_CHANNELS = 256


class DeepLabV3(nn.Module):
    """DeepLabV3: a dilated ResNet-50 and atrous spatial pyramid pooling.

    At output stride 8 this is torchvision's ``deeplabv3_resnet50``, entry by entry, so checkpoints of either load
    into the other: 39,633,986 parameters with two logits, 41,994,308 with the auxiliary head.

    A batch of one trains too: the image-pooling branch, whose batch norm then sees a single value per channel,
    is normalised with its running statistics (``PooledBatchNorm2d``). A run that has nothing but batches of one
    leaves these at mean 0 and variance 1.

    Args:
        in_channels: channels of the images; pretrained weights need 3.
        out_channels: number of logits per pixel, 2 for background and lesion with softmax.
        encoder_weights: ImageNet start of the encoder: a torchvision weights name of ``resnet50`` such as
            "IMAGENET1K_V2" (downloaded), the path of a local state-dict file, or None for random weights.
        output_stride: 8 or 16, how much coarser than the image the encoder's last map is; 16 is cheaper and
            its contours are coarser.
        auxiliary: whether there is a second head on the encoder's third stage, used in training only.

    Raises:
        InputError: ``output_stride`` is another number, or the encoder weights do not fit.

    Reference: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image
        Segmentation", 2017, https://arxiv.org/abs/1706.05587

    Example:
        >>> network = DeepLabV3(out_channels=2).eval()
        >>> network(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2, 64, 64])
    """

    __jit_unused_properties__: ClassVar = ["encoder"]

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 2,
        encoder_weights: str | None = None,
        output_stride: int = 8,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        # From here on the deepest map has several pixels: batch norm needs them to train on a batch of one.
        self.minimum_size = 33
        layers = {"layer3": "aux", "layer4": "out"}
        self.backbone = dilated_resnet50(in_channels, output_stride, encoder_weights, layers)
        self.classifier = DeepLabHead(2048, out_channels, DILATIONS[output_stride])
        self.classifier[-1] = Head(_PYRAMID_CHANNELS, out_channels)
        pooling = self.classifier[0].convs[-1]
        pooling[2] = PooledBatchNorm2d(_PYRAMID_CHANNELS)
        self.aux_classifier = FCNHead(1024, out_channels) if auxiliary else None
        if self.aux_classifier is not None:
            self.aux_classifier[-1] = Head(_AUXILIARY_CHANNELS, out_channels)

    @property
    def encoder(self) -> nn.Module:
        """The part that may start from ImageNet, by the name that all networks have for it."""
        return self.backbone

    def forward(self, x: Tensor) -> Tensor | dict[str, Any]:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float, of any size from 33 x 33.

        Returns:
            Logits ``(B, out_channels, H, W)``. In train mode with the auxiliary head a dictionary instead:
            "logits", and "auxiliary", a list with the auxiliary head's logits of the same shape.

        Raises:
            InputError: the height or the width is below 33.
        """
        check_minimum_size(x, self.minimum_size)
        features: dict[str, Tensor] = self.backbone(x)
        logits = resize_to_input(self.classifier(features["out"]), x)
        if not torch.jit.is_scripting() and self.training and self.aux_classifier is not None:
            auxiliary = resize_to_input(self.aux_classifier(features["aux"]), x)
            return {"logits": logits, "auxiliary": [auxiliary]}
        return logits

"""ResNet-101 U-Net with an atrous pyramid at its bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torchvision.models import resnet101

from dermaseg_monai.networks.aspp_unet import ASPPUNet
from dermaseg_monai.networks.encoder_weights import first_convolution, load_encoder_weights

_CHANNELS = (64, 256, 512, 1024, 2048)


class ResNet101ASPPUNet(ASPPUNet):
    """U-Net over torchvision's ResNet-101, its last volume passed through an atrous pyramid.

    Skips leave the encoder at strides 2 (before the pooling), 4, 8 and 16. The pyramid (1x1, dilations 2, 3
    and 4, image pooling) turns the 2,048 channels at stride 32 into 256. 62,919,509 parameters with five
    logits. Images of any size from 33 x 33.

    Args:
        in_channels: channels of the images; an ImageNet start needs 3.
        out_channels: number of logits per pixel.
        encoder_weights: ImageNet start of the encoder: "IMAGENET1K_V1" or "IMAGENET1K_V2" (downloaded by
            torchvision), the path of a local state dict of torchvision's ``resnet101``, or None for a random
            start.
        decoder_channels: widths of the five decoder steps, at strides 16, 8, 4, 2 and 1.
        dropout: probability of dropping a value of the pyramid's output in training, in [0, 1).
        aspp: whether the last volume passes the pyramid, or a 1x1 convolution alone.

    Raises:
        InputError: ``decoder_channels`` has not five entries, or the encoder weights do not fit.

    Reference: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
        https://arxiv.org/abs/1512.03385; pyramid of Chen et al., https://arxiv.org/abs/1706.05587

    Example:
        >>> import torch
        >>> network = ResNet101ASPPUNet(out_channels=5).eval()
        >>> network(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 5, 64, 64])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 5,
        encoder_weights: str | None = None,
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
        dropout: float = 0.1,
        aspp: bool = True,
    ) -> None:
        resnet = resnet101(weights=None)
        del resnet.fc
        resnet.conv1 = first_convolution(resnet.conv1, in_channels)
        load_encoder_weights(resnet, encoder_weights, "resnet101")
        encoder = [
            nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu),
            nn.Sequential(resnet.maxpool, resnet.layer1),
            resnet.layer2,
            resnet.layer3,
            resnet.layer4,
        ]
        super().__init__(encoder, _CHANNELS, out_channels, decoder_channels, dropout, aspp)

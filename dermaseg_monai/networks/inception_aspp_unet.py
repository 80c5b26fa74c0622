"""Inception v3 U-Net with an atrous pyramid at its bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torchvision.models import inception_v3

from dermaseg_monai.networks.aspp_unet import ASPPUNet
from dermaseg_monai.networks.encoder_weights import first_convolution, load_encoder_weights

_CHANNELS = (64, 192, 288, 768, 2048)

# Names in torchvision's model, stage by stage. An asterisk marks the layers that trim a pixel off each side.
_STAGES = (
    ("*Conv2d_1a_3x3", "*Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    ("*maxpool1", "Conv2d_3b_1x1", "*Conv2d_4a_3x3"),
    ("*maxpool2", "Mixed_5b", "Mixed_5c", "Mixed_5d"),
    ("*Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    ("*Mixed_7a", "Mixed_7b", "Mixed_7c"),
)


class InceptionASPPUNet(ASPPUNet):
    """U-Net over torchvision's Inception v3, its last volume passed through an atrous pyramid.

    Seven layers of Inception v3 trim a pixel off each side of their map, which leaves maps that cover less
    and less of the image: laid over each other they would be up to 19 pixels of the image apart at its
    border. Here a ring of zeros comes before each of these layers, so the maps are halves (odd sizes rounded
    up) and lie true; names, shapes and use of the weights are unchanged.

    Skips leave the encoder at strides 2, 4, 8 and 16. The pyramid (1x1, dilations 2, 3 and 4, image pooling)
    turns the 2,048 channels at stride 32 into 256. 41,320,181 parameters with five logits; there is no
    auxiliary classifier. Images of any size from 33 x 33.

    Args:
        in_channels: channels of the images; an ImageNet start needs 3.
        out_channels: number of logits per pixel.
        encoder_weights: ImageNet start of the encoder: "IMAGENET1K_V1" (downloaded by torchvision; it was
            trained on images in [-1, 1], from which ImageNet's usual mean and deviation differ by little
            more than a scale that the first batch norm takes up in training), the path of a local state dict
            of torchvision's ``inception_v3``, or None for a random start.
        decoder_channels: widths of the five decoder steps, at strides 16, 8, 4, 2 and 1.
        dropout: probability of dropping a value of the pyramid's output in training, in [0, 1).
        aspp: whether the last volume passes the pyramid, or a 1x1 convolution alone.

    Raises:
        InputError: ``decoder_channels`` has not five entries, or the encoder weights do not fit.

    Reference: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
        https://arxiv.org/abs/1512.00567; pyramid of Chen et al., https://arxiv.org/abs/1706.05587

    Example:
        >>> import torch
        >>> network = InceptionASPPUNet(out_channels=5).eval()
        >>> network(torch.zeros(1, 3, 96, 96)).shape
        torch.Size([1, 5, 96, 96])
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
        # torchvision's own initialisation swells the activations until the batch norms know their statistics,
        # beyond what half precision holds; PyTorch's does not.
        inception = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        del inception.fc
        inception.Conv2d_1a_3x3.conv = first_convolution(inception.Conv2d_1a_3x3.conv, in_channels)
        load_encoder_weights(inception, encoder_weights, "inception_v3")
        encoder: list[nn.Module] = []
        for names in _STAGES:
            layers: list[nn.Module] = []
            for name in names:
                if name.startswith("*"):
                    layers.append(nn.ZeroPad2d(1))
                layers.append(inception.get_submodule(name.removeprefix("*")))
            encoder.append(nn.Sequential(*layers))
        super().__init__(encoder, _CHANNELS, out_channels, decoder_channels, dropout, aspp)

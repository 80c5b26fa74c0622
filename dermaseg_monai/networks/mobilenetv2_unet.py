"""MobileNetV2 U-Net: a pretrained mobile encoder under a light decoder."""

from __future__ import annotations

from collections.abc import Sequence

from torchvision.models import mobilenet_v2

from dermaseg_monai.networks.encoder_unet import EncoderUNet, Squeeze, StagedEncoder
from dermaseg_monai.networks.encoder_weights import first_convolution, load_encoder_weights

# Where torchvision's `features` list reaches strides 2, 4, 8, 16 and 32, as half-open ranges of its indices.
_STAGES = ((0, 2), (2, 4), (4, 7), (7, 14), (14, 19))
_CHANNELS = (16, 24, 32, 96, 1280)


class MobileNetV2UNet(EncoderUNet):
    """U-Net decoder of plain light convolutions over torchvision's MobileNetV2 features.

    Skips leave the encoder at strides 2, 4, 8 and 16; the deepest map (stride 32, 1,280 channels) is first
    squeezed to 256 channels. The decoder uses dense rather than depthwise convolutions: at these widths they
    cost little, run faster on a GPU (fewer kernels, tensor cores) and train more easily.
    3,328,529 parameters in all.

    Args:
        in_channels: channels of the input image; an ImageNet start needs 3.
        out_channels: channels of the logits.
        encoder_weights: ImageNet start of the encoder: ``"IMAGENET1K_V1"`` or ``"IMAGENET1K_V2"`` (downloaded by
            torchvision), the path of a local state dict (of torchvision's whole ``mobilenet_v2`` or of its
            ``features`` alone, any floating type), or None for a random start.
        decoder_channels: widths of the five decoder stages, at strides 16, 8, 4, 2 and 1.
        dropout: share of bottleneck channels dropped in training, in [0, 1).

    Raises:
        InputError: ``decoder_channels`` has not five entries, or the encoder weights do not fit.

    Reference: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018;
        Ronneberger et al., "U-Net", MICCAI 2015.

    Example:
        >>> import torch
        >>> network = MobileNetV2UNet(out_channels=1).eval()
        >>> network(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        encoder_weights: str | None = None,
        decoder_channels: Sequence[int] = (128, 64, 48, 32, 16),
        dropout: float = 0.1,
    ) -> None:
        features = mobilenet_v2(weights=None).features
        features[0][0] = first_convolution(features[0][0], in_channels)
        load_encoder_weights(features, encoder_weights, "mobilenet_v2", prefix="features.")
        encoder = StagedEncoder(*(features[first:last] for first, last in _STAGES))
        bottleneck = Squeeze(_CHANNELS[-1], dropout)
        super().__init__(encoder, _CHANNELS, bottleneck, out_channels, decoder_channels)

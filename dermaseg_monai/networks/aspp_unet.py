"""U-Net over a pyramid: what the networks with an ASPP at their bottleneck have in common."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from dermaseg_monai.networks.blocks import ASPP, ConvNormReLU
from dermaseg_monai.networks.encoder_unet import BOTTLENECK_CHANNELS, EncoderUNet, StagedEncoder

_DILATIONS = (2, 3, 4)


class ASPPUNet(EncoderUNet):
    """U-Net over an encoder of five stages whose last map passes an atrous pyramid (dilations 2, 3 and 4).

    Args:
        encoder: the encoder's five stages, each halving height and width, odd ones rounded up.
        encoder_channels: channels that each stage returns, finest first.
        out_channels: number of logits per pixel.
        decoder_channels: widths of the five decoder steps, at strides 16, 8, 4, 2 and 1.
        dropout: probability of dropping a value of the pyramid's output in training, in [0, 1).
        aspp: whether the last map passes the pyramid, or a 1x1 convolution alone.

    Raises:
        InputError: ``decoder_channels`` has not five entries.

    Reference: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
        https://arxiv.org/abs/1706.05587
    """

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        encoder_channels: Sequence[int],
        out_channels: int,
        decoder_channels: Sequence[int],
        dropout: float,
        aspp: bool,
    ) -> None:
        bottleneck = (
            ASPP(encoder_channels[-1], BOTTLENECK_CHANNELS, _DILATIONS, dropout)
            if aspp
            else nn.Sequential(
                ConvNormReLU(encoder_channels[-1], BOTTLENECK_CHANNELS, 1), nn.Dropout(dropout)
            )
        )
        super().__init__(
            StagedEncoder(*encoder), encoder_channels, bottleneck, out_channels, decoder_channels
        )

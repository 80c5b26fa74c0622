"""U-Net decoder over an encoder of five stages: what the networks with an ImageNet encoder have in common."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dermaseg_monai.errors import InputError
from dermaseg_monai.networks.blocks import (
    DoubleConv,
    ResizeUpBlock,
    check_minimum_size,
    resize_to_input,
)

BOTTLENECK_CHANNELS = 256


class EncoderUNet(nn.Module):
    """U-Net whose encoder has five stages, and whose last map passes a bottleneck of its own.

    Args:
        encoder: the encoder's five stages, each halving height and width, odd ones rounded up.
        encoder_channels: channels that each stage returns, finest first.
        bottleneck: takes the deepest map and returns one of 256 channels and the same size.
        out_channels: number of logits per pixel.
        decoder_channels: widths of the five decoder steps, at strides 16, 8, 4, 2 and 1.

    Attributes:
        minimum_size: smallest height and width, pixels.

    Raises:
        InputError: `decoder_channels` has not five entries.

    Reference: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
        2015, https://arxiv.org/abs/1505.04597
    """

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        encoder_channels: Sequence[int],
        bottleneck: nn.Module,
        out_channels: int,
        decoder_channels: Sequence[int],
    ) -> None:
        super().__init__()
        if len(decoder_channels) != 5:
            raise InputError(
                f"decoder_channels of {type(self).__name__} needs five widths, one for each of the strides "
                f"16, 8, 4, 2 and 1, but has {len(decoder_channels)}."
            )
        # From here on the deepest map has several pixels: batch norm needs them to train on a batch of one.
        self.minimum_size = 33
        self.encoder = nn.ModuleList(encoder)
        self.bottleneck = bottleneck
        widths = (BOTTLENECK_CHANNELS, *decoder_channels)
        self.decoder = nn.ModuleList(
            ResizeUpBlock(widths[i], skip, widths[i + 1]) for i, skip in enumerate(encoder_channels[-2::-1])
        )
        self.last = DoubleConv(widths[4], widths[5])
        self.head = nn.Conv2d(widths[5], out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: images `(B, in_channels, H, W)`, float, of any size from 33 x 33.

        Returns:
            Logits `(B, out_channels, H, W)`.

        Raises:
            InputError: the height or the width is below 33.
        """
        check_minimum_size(x, self.minimum_size)
        hidden = x
        maps: list[Tensor] = []
        for stage in self.encoder:
            hidden = stage(hidden)
            maps.append(hidden)
        hidden = self.bottleneck(hidden)
        for i, block in enumerate(self.decoder):
            hidden = block(hidden, maps[-2 - i])
        return self.head(self.last(resize_to_input(hidden, x)))

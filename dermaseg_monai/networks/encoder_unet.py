"""U-Net decoder over an encoder of any kind: what the networks with a pretrained encoder have in common."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dermaseg_monai.networks.blocks import ConvNormReLU, DoubleConv, Head, ResizeUpBlock, check_entries
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple, resize_to_input

BOTTLENECK_CHANNELS = 256


class StagedEncoder(nn.Sequential):
    """Encoder whose stages follow each other, and which returns the map of each.

    Args:
        *stages: modules, each of which takes the map of the one before it.
    """

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the map of each stage, finest first, for images ``(B, C, H, W)``."""
        maps: list[Tensor] = []
        for stage in self:
            x = stage(x)
            maps.append(x)
        return maps


class Squeeze(nn.Sequential):
    """Light bottleneck: a 1x1 convolution to 256 channels and dropout of whole channels.

    Args:
        in_channels: channels of the encoder's deepest map.
        dropout: share of channels dropped in training, in [0, 1).
    """

    def __init__(self, in_channels: int, dropout: float) -> None:
        super().__init__(ConvNormReLU(in_channels, BOTTLENECK_CHANNELS, kernel_size=1), nn.Dropout2d(dropout))


class EncoderUNet(nn.Module):
    """U-Net whose encoder returns five maps, the last of which passes a bottleneck of its own.

    Args:
        encoder: takes the images ``(B, C, H, W)`` and returns five maps, finest first: four skips at strides 2,
            4, 8 and 16, odd sizes rounded up, and the deepest map. A skip may have no channels.
        encoder_channels: channels of the five maps.
        bottleneck: takes the deepest map and returns one of 256 channels and the same size.
        out_channels: number of logits per pixel.
        decoder_channels: widths of the five decoder steps, at strides 16, 8, 4, 2 and 1.
        multiple: what the encoder needs height and width to be multiples of; images are padded at their right
            and bottom, and the logits are cropped back.

    Attributes:
        minimum_size: smallest height and width, pixels.

    Raises:
        InputError: ``decoder_channels`` has not five entries.

    Reference: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI
        2015, https://arxiv.org/abs/1505.04597
    """

    def __init__(
        self,
        encoder: nn.Module,
        encoder_channels: Sequence[int],
        bottleneck: nn.Module,
        out_channels: int,
        decoder_channels: Sequence[int],
        multiple: int = 1,
    ) -> None:
        super().__init__()
        check_entries(decoder_channels, 5, "decoder_channels", type(self).__name__)
        # From here on the deepest map has several pixels: batch norm needs them to train on a batch of one.
        self.minimum_size = 33
        self.multiple = multiple
        self.encoder = encoder
        self.bottleneck = bottleneck
        widths = (BOTTLENECK_CHANNELS, *decoder_channels)
        self.decoder = nn.ModuleList(
            ResizeUpBlock(widths[i], skip, widths[i + 1]) for i, skip in enumerate(encoder_channels[-2::-1])
        )
        self.last = DoubleConv(widths[4], widths[5])
        self.head = Head(widths[5], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float, of any size from 33 x 33.

        Returns:
            Logits ``(B, out_channels, H, W)``.

        Raises:
            InputError: the height or the width is below 33.
        """
        padded = pad_to_multiple(x, self.multiple, self.minimum_size)
        maps: list[Tensor] = self.encoder(padded)
        hidden = self.bottleneck(maps[-1])
        for i, block in enumerate(self.decoder):
            hidden = block(hidden, maps[-2 - i])
        return crop_to_input(self.head(self.last(resize_to_input(hidden, padded))), x)

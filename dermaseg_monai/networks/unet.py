"""U-Net."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dermaseg_monai.networks.blocks import DoubleConv, Head, Norm, UpBlock, Upsampling, check_levels
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple


class UNet(nn.Module):
    """U-Net with batch norm and same-size convolutions.

    The defaults are the widespread 31-million-parameter network: 31,037,633 parameters with one logit. The
    3x3 convolutions carry no bias, since the batch norm after each subtracts it again; implementations that
    keep these redundant biases count 31,043,521. With ``features=(64, 128, 256)`` and bilinear upsampling it is
    a compact network of three levels with 1,884,417 parameters.

    Inputs are padded at the right and bottom to a multiple of ``2 ** (len(features) - 1)`` (16 by default), at
    least twice that, and the logits are cropped back.

    Args:
        in_channels: channels of the images.
        out_channels: number of logits per pixel.
        features: channels of each level, finest first, at least two; the last level is the bottleneck.
        dropout: probability of zeroing an activation after the first convolution of each pair.
        upsampling: "transpose" for 2x2 transposed convolutions, "bilinear" for interpolation.
        norm: "batch" for batch norm after each 3x3 convolution, or "none".

    Raises:
        InputError: fewer than two features, or an unknown ``upsampling`` or ``norm``.

    Reference: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
        MICCAI 2015, https://arxiv.org/abs/1505.04597

    Example:
        >>> import torch
        >>> network = UNet(out_channels=1, features=(4, 8)).eval()
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (64, 128, 256, 512, 1024),
        dropout: float = 0.0,
        upsampling: Upsampling = "transpose",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        check_levels(features, "U-Net")
        self.multiple = 2 ** (len(features) - 1)
        self.encoder = nn.ModuleList(
            DoubleConv(previous, current, dropout, norm=norm)
            for previous, current in zip([in_channels, *features], features, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.decoder = nn.ModuleList(
            UpBlock(coarse, fine, fine, upsampling, dropout, norm)
            for coarse, fine in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.head = Head(features[0], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float.

        Returns:
            Logits ``(B, out_channels, H, W)``.

        Raises:
            InputError: the height or the width is below ``2 ** len(features)``.
        """
        # At twice the multiple the bottleneck has several pixels, which batch norm needs for a batch of one.
        hidden = pad_to_multiple(x, self.multiple, 2 * self.multiple)
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            hidden = block(hidden if level == 0 else self.pool(hidden))
            skips.append(hidden)
        for level, up in enumerate(self.decoder):
            hidden = up(hidden, skips[-2 - level])
        return crop_to_input(self.head(hidden), x)

"""Deep residual U-Net."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dermaseg_monai.networks.blocks import Head, Upsampling, check_levels, upsample_by_two
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple


class _Projection(nn.Conv2d):
    """1x1 convolution of every ``step``-th pixel.

    The pixels are taken beforehand rather than by the convolution's stride: on CPUs oneDNN's gradient of a strided
    1x1 convolution writes past its buffer where there are few channels (uxlfoundation/oneDNN issue 6035).
    """

    def __init__(self, in_channels: int, out_channels: int, step: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1, bias=False)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x[:, :, :: self.step, :: self.step], self.weight, None)


class ResidualUnit(nn.Module):
    """Two pre-activated 3x3 convolutions (batch norm, ReLU, convolution) and a shortcut around them.

    The shortcut is a 1x1 convolution with batch norm where the size or the channels change.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: stride of the first convolution.
        first: whether the unit opens the network; raw images are not pre-activated.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, first: bool = False) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Identity() if first else nn.BatchNorm2d(in_channels),
            nn.Identity() if first else nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(_Projection(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x`` ``(B, in_channels, H, W)`` to ``(B, out_channels, H / stride, W / stride)``."""
        return self.residual(x) + self.shortcut(x)


class ResidualUpBlock(nn.Module):
    """Decoder step: double the size, join the skip connection, one residual unit.

    Args:
        in_channels: channels of the coarser map.
        skip_channels: channels of the skip connection.
        out_channels: channels of the output.
        upsampling: "transpose" or "bilinear".
    """

    def __init__(
        self, in_channels: int, skip_channels: int, out_channels: int, upsampling: Upsampling
    ) -> None:
        super().__init__()
        self.upsample, channels = upsample_by_two(in_channels, out_channels, upsampling)
        self.unit = ResidualUnit(channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join ``x`` ``(B, in_channels, H, W)`` and ``skip`` ``(B, skip_channels, 2H, 2W)``."""
        return self.unit(torch.cat([skip, self.upsample(x)], dim=1))


class ResidualUNet(nn.Module):
    """U-Net of residual units (ResUNet): strided convolutions instead of pooling, shortcuts everywhere.

    The defaults are the published network of four levels with 8,219,585 parameters for one logit: 7,780,032
    in the 3x3 convolutions (the 7.8 million of the paper), the rest in the shortcuts' projections, the norms
    and the head. The decoder interpolates, as there, unless ``upsampling`` is "transpose".

    Inputs are padded at the right and bottom to a multiple of ``2 ** (len(features) - 1)`` (8 by default), at
    least twice that, and the logits are cropped back.

    Args:
        in_channels: channels of the images.
        out_channels: number of logits per pixel.
        features: channels of each level, finest first, at least two; the last level is the bridge.
        upsampling: "bilinear" for interpolation, "transpose" for 2x2 transposed convolutions.

    Raises:
        InputError: fewer than two features, or an unknown ``upsampling``.

    Reference: Zhang, Liu, Wang, "Road Extraction by Deep Residual U-Net", IEEE GRSL 2018,
        https://arxiv.org/abs/1711.10684; residual units of He et al., "Identity Mappings in Deep Residual
        Networks", ECCV 2016, https://arxiv.org/abs/1603.05027

    Example:
        >>> network = ResidualUNet(out_channels=5, features=(4, 8)).eval()
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 5, 32, 32])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (64, 128, 256, 512),
        upsampling: Upsampling = "bilinear",
    ) -> None:
        super().__init__()
        check_levels(features, "U-Net")
        self.multiple = 2 ** (len(features) - 1)
        self.encoder = nn.ModuleList([ResidualUnit(in_channels, features[0], first=True)])
        self.encoder.extend(ResidualUnit(fine, coarse, stride=2) for fine, coarse in pairwise(features))
        self.decoder = nn.ModuleList(
            ResidualUpBlock(coarse, fine, fine, upsampling)
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
        # At twice the multiple the bridge has several pixels, which batch norm needs for a batch of one.
        hidden = pad_to_multiple(x, self.multiple, 2 * self.multiple)
        skips: list[Tensor] = []
        for unit in self.encoder:
            hidden = unit(hidden)
            skips.append(hidden)
        for level, up in enumerate(self.decoder):
            hidden = up(hidden, skips[-2 - level])
        return crop_to_input(self.head(hidden), x)

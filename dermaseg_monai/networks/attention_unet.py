"""U-Net with attention gates on its skip connections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.networks.blocks import Upsampling
from dermaseg_monai.networks.unet import UNet


class AttentionGate(nn.Module):
    """Additive attention of a coarse gating signal over a skip connection.

    The gate weighs every place of the skip connection between 0 and 1, on the coarse grid; the weights are
    interpolated to the skip's grid.

    Args:
        skip_channels: channels of the skip connection.
        gate_channels: channels of the gating signal.

    Reference: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018,
        https://arxiv.org/abs/1804.03999
    """

    def __init__(self, skip_channels: int, gate_channels: int) -> None:
        super().__init__()
        hidden_channels = max(skip_channels // 2, 1)
        self.skip = nn.Conv2d(skip_channels, hidden_channels, kernel_size=2, stride=2, bias=False)
        self.gate = nn.Conv2d(gate_channels, hidden_channels, kernel_size=1)
        self.attention = nn.Conv2d(hidden_channels, 1, kernel_size=1)
        self.output = nn.Sequential(
            nn.Conv2d(skip_channels, skip_channels, kernel_size=1), nn.BatchNorm2d(skip_channels)
        )

    def weights(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Attention weights ``(B, 1, 2H, 2W)`` in [0, 1], of the arguments of ``forward``."""
        coarse = self.attention(F.relu(self.skip(skip) + self.gate(gate)))
        return F.interpolate(torch.sigmoid(coarse), scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """Weigh a skip connection.

        Args:
            skip: skip connection ``(B, skip_channels, 2H, 2W)``.
            gate: gating signal ``(B, gate_channels, H, W)``.

        Returns:
            The weighted skip connection ``(B, skip_channels, 2H, 2W)``.
        """
        return self.output(skip * self.weights(skip, gate))


class GatedUpBlock(nn.Module):
    """Decoder step whose skip connection passes an attention gate, driven by the coarser map.

    Args:
        gate: the gate.
        up: the decoder step of the plain U-Net, an ``UpBlock``.
    """

    def __init__(self, gate: AttentionGate, up: nn.Module) -> None:
        super().__init__()
        self.gate = gate
        self.up = up

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join ``x`` ``(B, in_channels, H, W)`` and ``skip`` ``(B, skip_channels, 2H, 2W)``."""
        return self.up(x, self.gate(skip, x))


class AttentionUNet(UNet):
    """U-Net whose skip connections are weighed by additive attention gates.

    The network is ``UNet`` with a gate before each decoder step; the gating signal is the coarser decoder map.
    32,434,117 parameters with one logit: the 31,037,633 of the U-Net and 1,396,484 of the gates.

    Args:
        in_channels: channels of the images.
        out_channels: number of logits per pixel.
        features: channels of each level, finest first, at least two; the last level is the bottleneck.
        dropout: probability of zeroing an activation after the first convolution of each pair.
        upsampling: "transpose" for 2x2 transposed convolutions, "bilinear" for interpolation.

    Raises:
        InputError: fewer than two features, or an unknown ``upsampling``.

    Reference: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018,
        https://arxiv.org/abs/1804.03999

    Example:
        >>> network = AttentionUNet(out_channels=1, features=(4, 8)).eval()
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
    ) -> None:
        super().__init__(in_channels, out_channels, features, dropout, upsampling)
        self.decoder = nn.ModuleList(
            GatedUpBlock(AttentionGate(fine, coarse), up)
            for coarse, fine, up in zip(features[:0:-1], features[-2::-1], self.decoder, strict=True)
        )

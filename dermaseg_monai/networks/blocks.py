"""Building blocks that several networks share, and checks of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.networks.sizes import resize_to_input
from dermaseg_monai.utils.errors import InputError

Upsampling = Literal["transpose", "bilinear"]
Norm = Literal["batch", "none"]

_NORM_GROUP = 8


def check_levels(features: Sequence[int], network: str) -> None:
    """Refuse a U-shaped network of fewer than two levels.

    Args:
        features: channels of each level.
        network: name for the message.

    Raises:
        InputError: there are fewer than two levels.
    """
    if len(features) < 2:
        raise InputError(f"features is {list(features)}; a {network} needs at least two levels.")


def check_entries(values: Sequence[object], count: int, name: str, network: str) -> None:
    """Refuse an argument that has not one entry for each stage or step of a network.

    Args:
        values: the argument.
        count: how many entries it needs.
        name: of the argument, for the message.
        network: the class, for the message.

    Raises:
        InputError: there are more entries, or fewer.
    """
    if len(values) != count:
        raise InputError(f"{name} of {network} needs {count} entries, but has {len(values)}.")


class ConvNormReLU(nn.Sequential):
    """Convolution that keeps the size at stride 1, normalisation, ReLU.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the kernel, odd.
        stride: stride of the convolution.
        dilation: spacing of the kernel's taps.
        groups: groups of the convolution (``in_channels`` for a depthwise one).
        bias: whether the convolution has a bias; the batch norm's own offset makes it redundant.
        norm: "batch", or "none", with which the convolution always has a bias.

    Raises:
        InputError: ``norm`` is neither of the two.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: Norm = "batch",
    ) -> None:
        if norm not in ("batch", "none"):
            raise InputError(f'norm is {norm!r}; choose "batch" or "none".')
        padding = dilation * (kernel_size // 2)
        bias = bias or norm == "none"
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias),
            nn.BatchNorm2d(out_channels) if norm == "batch" else nn.Identity(),
            nn.ReLU(inplace=True),
        )


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions with normalisation and ReLU, and dropout between them.

    Args:
        in_channels: channels of the input.
        out_channels: channels of both convolutions' outputs.
        dropout: probability of zeroing an activation after the first convolution block.
        bias: whether the convolutions have a bias.
        norm: "batch" or "none", see ``ConvNormReLU``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dropout: float = 0.0,
        bias: bool = False,
        norm: Norm = "batch",
    ) -> None:
        super().__init__(
            ConvNormReLU(in_channels, out_channels, bias=bias, norm=norm),
            # The place is kept without dropout, so that a checkpoint does not depend on it.
            nn.Dropout(dropout) if dropout > 0 else nn.Identity(),
            ConvNormReLU(out_channels, out_channels, bias=bias, norm=norm),
        )


def upsample_by_two(in_channels: int, out_channels: int, upsampling: Upsampling) -> tuple[nn.Module, int]:
    """Build a layer that doubles height and width.

    Args:
        in_channels: channels of the input.
        out_channels: channels a learned upsampling produces.
        upsampling: "transpose" for a 2x2 transposed convolution, "bilinear" for plain interpolation, which
            leaves the channels as they are.

    Returns:
        The layer, and the number of channels it produces.

    Raises:
        InputError: ``upsampling`` is neither of the two.
    """
    if upsampling == "transpose":
        return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2), out_channels
    if upsampling == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), in_channels
    raise InputError(f'upsampling is {upsampling!r}; choose "transpose" or "bilinear".')


class UpBlock(nn.Module):
    """Decoder step of a U-Net: double the size, join the skip connection, two convolutions.

    Args:
        in_channels: channels of the coarser map.
        skip_channels: channels of the skip connection.
        out_channels: channels of the output.
        upsampling: "transpose" or "bilinear", see ``upsample_by_two``.
        dropout: dropout of the double convolution.
        norm: that of the double convolution.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        upsampling: Upsampling = "transpose",
        dropout: float = 0.0,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.upsample, channels = upsample_by_two(in_channels, out_channels, upsampling)
        self.conv = DoubleConv(skip_channels + channels, out_channels, dropout, norm=norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join ``x`` ``(B, in_channels, H, W)`` and ``skip`` ``(B, skip_channels, 2H, 2W)``."""
        return self.conv(torch.cat([skip, self.upsample(x)], dim=1))


class ResizeUpBlock(nn.Module):
    """Decoder step over skips whose sizes are not halves: resize to the skip, join it, two convolutions.

    Args:
        in_channels: channels of the coarser map.
        skip_channels: channels of the skip connection.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convs = DoubleConv(in_channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Join ``x`` ``(B, in_channels, h, w)`` and ``skip`` ``(B, skip_channels, H, W)``."""
        return self.convs(torch.cat([resize_to_input(x, skip), skip], dim=1))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 branch, dilated 3x3 branches and image pooling, joined by 1x1.

    The pooling branch has group norm: pooled images are too few values for batch statistics, and none for a
    batch of one.

    Args:
        in_channels: channels of the features.
        out_channels: channels of each branch and of the output, a multiple of 8.
        dilations: rates of the dilated branches.
        dropout: probability of dropping an output value in training, in [0, 1).

    Reference: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation",
        arXiv:1706.05587, 2017
    """

    def __init__(
        self, in_channels: int, out_channels: int, dilations: Sequence[int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvNormReLU(in_channels, out_channels, 1)])
        self.branches.extend(ConvNormReLU(in_channels, out_channels, 3, dilation=rate) for rate in dilations)
        self.pooled = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.GroupNorm(out_channels // _NORM_GROUP, out_channels),
            nn.ReLU(inplace=True),
        )
        self.project = nn.Sequential(
            ConvNormReLU(out_channels * (len(dilations) + 2), out_channels, 1), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gather context around every place of ``x`` ``(B, in_channels, H, W)``: ``(B, out_channels, H, W)``."""
        outputs: list[Tensor] = []
        for branch in self.branches:
            outputs.append(branch(x))
        pooled = self.pooled(x.mean(dim=(2, 3), keepdim=True))
        outputs.append(pooled.expand(-1, -1, x.shape[2], x.shape[3]))
        return self.project(torch.cat(outputs, dim=1))


class Head(nn.Conv2d):
    """Classifier of a network: a convolution whose logits start near 0, so that no class is favoured.

    Weights are drawn from a normal distribution of standard deviation 0.01, as in Lin et al., "Focal Loss for
    Dense Object Detection", ICCV 2017, and the bias is 0: the first probabilities lie close to one half, and
    the first cross-entropy close to log 2 for a binary or two-class output.

    Args:
        in_channels: channels of the features.
        out_channels: number of logits per pixel.
        kernel_size: side of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def reset_parameters(self) -> None:
        """Draw the weights anew and set the bias to 0."""
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class PooledBatchNorm2d(nn.BatchNorm2d):
    """Batch norm after global pooling that can also train on a batch of one.

    A globally pooled batch of one holds a single value per channel, which has no variance: the ordinary layer
    raises an error. This one then normalises with its running statistics, as in evaluation, and leaves them
    unchanged. Parameters, buffers and results on larger batches are those of ``torch.nn.BatchNorm2d``, so
    checkpoints of the two are interchangeable.

    Args:
        num_features: channels of the input.
        affine: whether a scale and an offset of each channel are learned.
    """

    def __init__(self, num_features: int, affine: bool = True) -> None:
        super().__init__(num_features, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` ``(B, num_features, H, W)``."""
        # Not super().forward, which TorchScript cannot compile.
        update = self.training and x.shape[0] * x.shape[2] * x.shape[3] > 1
        if update and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, update, momentum, self.eps
        )

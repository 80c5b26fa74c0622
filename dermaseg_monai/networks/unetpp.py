"""U-Net++: nested, dense skip connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dermaseg_monai.networks.blocks import DoubleConv, Head, Upsampling, check_levels, upsample_by_two
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple
from dermaseg_monai.utils.errors import InputError


class NestedNode(nn.Module):
    """Node X^{i,j}: joins all earlier maps of its level with the upsampled one below.

    Args:
        column: j, the number of earlier maps.
        channels: channels of the level's maps.
        below_channels: channels of the map below.
        dropout: dropout of the double convolution.
        upsampling: "transpose" or "bilinear".
    """

    def __init__(
        self, column: int, channels: int, below_channels: int, dropout: float, upsampling: Upsampling
    ) -> None:
        super().__init__()
        self.upsample, upsampled_channels = upsample_by_two(below_channels, channels, upsampling)
        self.conv = DoubleConv(column * channels + upsampled_channels, channels, dropout)

    def forward(self, row: list[Tensor], below: Tensor) -> Tensor:
        """Join the level's maps, each ``(B, channels, 2H, 2W)``, and ``below`` ``(B, below_channels, H, W)``."""
        maps = row + [self.upsample(below)]  # noqa: RUF005 (TorchScript cannot unpack a list)
        return self.conv(torch.cat(maps, dim=1))


class NestedColumn(nn.Module):
    """Column j of the nested decoder: one node for each level that reaches so far.

    Args:
        column: j, 1 next to the encoder.
        features: channels of each level, finest first.
        dropout: dropout of the double convolutions.
        upsampling: "transpose" or "bilinear".
    """

    def __init__(self, column: int, features: Sequence[int], dropout: float, upsampling: Upsampling) -> None:
        super().__init__()
        self.column = column
        self.nodes = nn.ModuleList(
            NestedNode(column, features[level], features[level + 1], dropout, upsampling)
            for level in range(len(features) - column)
        )

    def forward(self, rows: list[list[Tensor]], depth: int) -> list[Tensor]:
        """Compute the column's maps.

        Args:
            rows: for each level the maps of the earlier columns.
            depth: the last column that is wanted; nodes that do not lead to its first map are left out.

        Returns:
            The new map of each level, finest first.
        """
        maps: list[Tensor] = []
        for level, node in enumerate(self.nodes):
            if level + self.column <= depth:
                maps.append(node(rows[level], rows[level + 1][-1]))
        return maps


class UNetPlusPlus(nn.Module):
    """U-Net++: every skip connection is a dense block of convolutions, nested over the levels.

    The defaults have 9,159,681 parameters with one logit (9.16 million; 9,163,329 with the redundant biases
    before the batch norms that other implementations keep). Transposed convolutions give 9,045,825.

    With deep supervision each full-size map X^{0,1} to X^{0,L} has its own head. In train mode ``forward`` then
    returns all of them; in evaluation mode the logits of the last column, or of column ``prune_to``, for
    which only the needed part of the network is computed. All parameters are kept whatever ``prune_to`` is,
    so one checkpoint serves every depth.

    Inputs are padded at the right and bottom to a multiple of ``2 ** (len(features) - 1)`` (16 by default), at
    least twice that, and the logits are cropped back.

    Args:
        in_channels: channels of the images.
        out_channels: number of logits per pixel.
        features: channels of each level, finest first, at least two.
        dropout: probability of zeroing an activation after the first convolution of each pair.
        upsampling: "bilinear" for interpolation, "transpose" for 2x2 transposed convolutions.
        deep_supervision: whether each full-size map has a head, used in training.
        prune_to: the column whose logits evaluation returns, 1 to ``len(features) - 1``, the last where not
            given; an earlier one needs deep supervision.

    Raises:
        InputError: fewer than two features, an unknown ``upsampling``, or a ``prune_to`` that has no head.

    Reference: Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image Segmentation", DLMIA 2018,
        https://arxiv.org/abs/1807.10165

    Example:
        >>> network = UNetPlusPlus(out_channels=1, features=(4, 8, 12), deep_supervision=True)
        >>> network.eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1, 32, 32])
        >>> outputs = network.train()(torch.zeros(2, 3, 32, 32))
        >>> [tuple(logits.shape) for logits in (outputs["logits"], *outputs["auxiliary"])]
        [(2, 1, 32, 32), (2, 1, 32, 32)]
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        dropout: float = 0.0,
        upsampling: Upsampling = "bilinear",
        deep_supervision: bool = False,
        prune_to: int | None = None,
    ) -> None:
        super().__init__()
        check_levels(features, "U-Net++")
        self.depth = len(features) - 1
        self.prune_to = self.depth if prune_to is None else prune_to
        if not 1 <= self.prune_to <= self.depth:
            raise InputError(f"prune_to is {prune_to}; this U-Net++ has columns 1 to {self.depth}.")
        if self.prune_to < self.depth and not deep_supervision:
            raise InputError(
                f"prune_to is {prune_to}, but without deep supervision only column {self.depth} has a head; "
                f"set deep_supervision to true."
            )
        self.multiple = 2**self.depth
        self.encoder = nn.ModuleList(
            DoubleConv(previous, current, dropout)
            for previous, current in zip([in_channels, *features], features, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.columns = nn.ModuleList(
            NestedColumn(column, features, dropout, upsampling) for column in range(1, self.depth + 1)
        )
        self.first_head = 1 if deep_supervision else self.depth
        self.heads = nn.ModuleList(
            Head(features[0], out_channels) for _ in range(self.first_head, self.depth + 1)
        )

    def forward(self, x: Tensor) -> Tensor | dict[str, Any]:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float.

        Returns:
            Logits ``(B, out_channels, H, W)``. In train mode with deep supervision a dictionary instead:
            "logits" of the last column, and "auxiliary", a list of those of the earlier columns, all of the
            same shape.

        Raises:
            InputError: the height or the width is below ``2 ** len(features)``.
        """
        depth = self.depth if self.training else self.prune_to
        # At twice the multiple the deepest map has several pixels, which batch norm needs for a batch of one.
        hidden = pad_to_multiple(x, self.multiple, 2 * self.multiple)
        rows: list[list[Tensor]] = []
        for level, block in enumerate(self.encoder):
            if level <= depth:
                hidden = block(hidden if level == 0 else self.pool(hidden))
                rows.append([hidden])
        for column in self.columns:
            for level, nested in enumerate(column(rows, depth)):
                rows[level].append(nested)
        if not torch.jit.is_scripting() and self.training and self.first_head < self.depth:
            outputs = [crop_to_input(head(rows[0][1 + j]), x) for j, head in enumerate(self.heads)]
            return {"logits": outputs[-1], "auxiliary": outputs[:-1]}
        logits = hidden
        for j, head in enumerate(self.heads):
            if self.first_head + j == depth:
                logits = head(rows[0][depth])
        return crop_to_input(logits, x)

"""SegFormer of the smallest size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from dermaseg_monai.networks.blocks import ConvNormReLU, Head, check_entries
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple, resize_to_input
from dermaseg_monai.utils.errors import InputError

# Of every stage: the overlapping patches' side and step, and the side by which keys and values are reduced.
_PATCHES = ((7, 4), (3, 2), (3, 2), (3, 2))
_REDUCTIONS = (8, 4, 2, 1)


class _PatchEmbedding(nn.Module):
    """Overlapping patches by a strided convolution; from ``(B, C, H, W)`` to ``(B, h, w, width)``."""

    def __init__(self, in_channels: int, width: int, side: int, step: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, width, side, stride=step, padding=side // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.project(x).permute(0, 2, 3, 1))


class _EfficientAttention(nn.Module):
    """Self-attention of maps ``(B, H, W, C)`` to their own version reduced by a strided convolution."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.reduce = nn.Conv2d(width, width, reduction, stride=reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(width) if reduction > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        depth = channels // self.heads
        query = self.query(x).view(batch, height * width, self.heads, depth).transpose(1, 2)
        reduced = x
        if self.reduce is not None and self.norm is not None:
            reduced = self.norm(self.reduce(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        pairs = self.key_value(reduced).view(batch, -1, 2, self.heads, depth).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, pairs[0], pairs[1])
        return self.project(attended.transpose(1, 2).reshape(batch, height, width, channels))


class _MixFeedForward(nn.Module):
    """Two linear layers with a depthwise 3x3 convolution between, which tells tokens their position."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.shrink = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.mix(self.expand(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.shrink(F.gelu(hidden))


class _Block(nn.Module):
    """Transformer block with pre-normalisation, over maps ``(B, H, W, C)``."""

    def __init__(self, width: int, heads: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _EfficientAttention(width, heads, reduction)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = _MixFeedForward(width, 4 * width)
        self.drop_path = StochasticDepth(drop_path, mode="row")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.feed_forward(self.feed_forward_norm(x)))


class _Stage(nn.Module):
    """Patch embedding and blocks; from ``(B, C, H, W)`` to a coarser ``(B, width, h, w)``."""

    def __init__(
        self,
        in_channels: int,
        width: int,
        heads: int,
        patch: tuple[int, int],
        reduction: int,
        paths: list[float],
    ) -> None:
        super().__init__()
        self.embed = _PatchEmbedding(in_channels, width, *patch)
        self.blocks = nn.Sequential(*(_Block(width, heads, reduction, path) for path in paths))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.blocks(self.embed(x))).permute(0, 3, 1, 2)


class SegFormerLite(nn.Module):
    """SegFormer-B0: mix-transformer encoder and all-MLP decoder.

    Four stages at strides 4, 8, 16 and 32, with overlapping patch embedding, attention whose keys and values
    are reduced by 8, 4, 2 and 1, and feed-forward layers that mix neighbours instead of a position embedding.
    The decoder projects every stage to one width, joins them at stride 4, and the logits are interpolated to
    the image's size. 3,714,401 parameters with one logit; the paper's 3.8 million have 150 classes.

    Inputs are padded at the right and bottom to a multiple of 32, at least 32, and the logits are cropped
    back.

    Args:
        in_channels: channels of the images.
        out_channels: number of logits per pixel.
        widths: channels of the four stages.
        depths: transformer blocks of the four stages.
        heads: attention heads of the four stages; each divides its stage's width.
        decoder_width: channels of the decoder.
        dropout: probability of dropping a channel before the last layer in training, in [0, 1).
        drop_path: probability of skipping the last block's branches per image in training; it grows linearly
            from 0 at the first block; in [0, 1).

    Raises:
        InputError: an argument has not four entries, or a width is no multiple of its heads.

    Reference: Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
        Transformers", NeurIPS 2021, https://arxiv.org/abs/2105.15203

    Example:
        >>> network = SegFormerLite(out_channels=1, widths=(8, 16, 20, 32), decoder_width=16).eval()
        >>> network(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        widths: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (1, 2, 5, 8),
        decoder_width: int = 256,
        dropout: float = 0.1,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        for name, values in (("widths", widths), ("depths", depths), ("heads", heads)):
            check_entries(values, 4, name, "SegFormerLite")
        if any(width % head for width, head in zip(widths, heads, strict=True)):
            raise InputError(
                f"widths of SegFormerLite must be multiples of heads, but are {list(widths)} for heads "
                f"{list(heads)}."
            )
        paths = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        self.stages = nn.ModuleList()
        for i, width in enumerate(widths):
            earlier = sum(depths[:i])
            self.stages.append(
                _Stage(
                    in_channels if i == 0 else widths[i - 1],
                    width,
                    heads[i],
                    _PATCHES[i],
                    _REDUCTIONS[i],
                    paths[earlier : earlier + depths[i]],
                )
            )
        self.projections = nn.ModuleList(nn.Conv2d(width, decoder_width, 1) for width in widths)
        self.fuse = ConvNormReLU(4 * decoder_width, decoder_width, kernel_size=1)
        self.dropout = nn.Dropout2d(dropout)
        self.apply(_initialise)
        self.head = Head(decoder_width, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float.

        Returns:
            Logits ``(B, out_channels, H, W)``.

        Raises:
            InputError: the height or the width is below 32.
        """
        padded = pad_to_multiple(x, 32)
        hidden = padded
        maps: list[Tensor] = []
        for stage, projection in zip(self.stages, self.projections):  # noqa: B905 (TorchScript knows no strict)
            hidden = stage(hidden)
            projected = projection(hidden)
            maps.append(resize_to_input(projected, maps[0]) if len(maps) > 0 else projected)
        logits = self.head(self.dropout(self.fuse(torch.cat(maps, dim=1))))
        return crop_to_input(resize_to_input(logits, padded), x)


def _initialise(module: nn.Module) -> None:
    """The paper's code: truncated normal for linear layers, normal by fan-out for convolutions."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

"""TransUNet: a convolutional stem, a vision transformer and a cascaded upsampler."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermaseg_monai.networks.blocks import (
    ConvNormReLU,
    DoubleConv,
    Head,
    UpBlock,
    check_entries,
    upsample_by_two,
)
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple
from dermaseg_monai.utils.errors import InputError

_GROUPS = 32


class _StandardisedConv2d(nn.Conv2d):
    """Convolution without bias whose weights have mean 0 and variance 1 per output channel."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        return self._conv_forward(x, (self.weight - mean) / (variance + 1e-5).sqrt(), None)


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Module:
    return _StandardisedConv2d(
        in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=False
    )


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(_GROUPS, channels, eps=1e-6)


class _Bottleneck(nn.Module):
    """Residual bottleneck with group norm and standardised weights; the output is 4 times as wide."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _conv(in_channels, width, 1),
            _norm(width),
            nn.ReLU(inplace=True),
            _conv(width, width, 3, stride),
            _norm(width),
            nn.ReLU(inplace=True),
            _conv(width, 4 * width, 1),
            _norm(4 * width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != 4 * width:
            # A group per channel, as in the paper's code.
            self.shortcut = nn.Sequential(
                _conv(in_channels, 4 * width, 1, stride), nn.GroupNorm(4 * width, 4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.residual(x))


class _TransformerLayer(nn.Module):
    """Pre-normalised self-attention and feed-forward layer, over tokens ``(B, N, C)``."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, feed_forward),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feed_forward, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        heads = self.query_key_value(self.attention_norm(x))
        heads = heads.view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        x = x + self.project(attended.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.feed_forward(x)


class TransUNet(nn.Module):
    """R50 + ViT-B/16 TransUNet.

    Three stages of a ResNet-50 with group norm and weight standardisation bring the image to stride 16; a
    vision transformer attends over that map, every pixel of which is a token; the cascaded upsampler returns
    to the image's size in four steps, with skips from the stem at strides 8, 4 and 2. 105,275,921 parameters
    with one logit; the paper's code, with the 9 classes of its data, counts 105.28 million.

    Inputs are padded at the right and bottom to a multiple of 16, at least 32, and the logits are cropped
    back. The position embedding is learned for a square grid and interpolated to others.

    Args:
        in_channels: channels of the images.
        out_channels: number of logits per pixel.
        stem_width: channels after the first convolution, a multiple of 32; the three stages have 4, 8 and 16
            times as many.
        stem_depths: bottleneck blocks of the three stages.
        width: channels of the tokens.
        depth: transformer layers.
        heads: attention heads; they divide ``width``.
        feed_forward: hidden channels of the transformer's feed-forward layers.
        decoder_channels: channels of the four upsampling steps.
        grid_size: side of the position embedding's grid, a sixteenth of the usual image's side.
        dropout: probability of dropping a value of the tokens in training, in [0, 1).

    Raises:
        InputError: ``stem_width`` is no multiple of 32, ``width`` is none of ``heads``, or ``stem_depths`` or
            ``decoder_channels`` has not three or four entries.

    Reference: Chen et al., "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation",
        2021, https://arxiv.org/abs/2102.04306

    Example:
        >>> network = TransUNet(stem_width=32, width=16, depth=1, heads=2, feed_forward=32, grid_size=2).eval()
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        stem_width: int = 64,
        stem_depths: Sequence[int] = (3, 4, 9),
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        feed_forward: int = 3072,
        decoder_channels: Sequence[int] = (256, 128, 64, 16),
        grid_size: int = 14,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if stem_width % _GROUPS:
            raise InputError(f"stem_width of TransUNet must be a multiple of {_GROUPS}, but is {stem_width}.")
        if width % heads:
            raise InputError(f"width of TransUNet must be a multiple of its {heads} heads, but is {width}.")
        check_entries(stem_depths, 3, "stem_depths", "TransUNet")
        check_entries(decoder_channels, 4, "decoder_channels", "TransUNet")

        self.root = nn.Sequential(
            _conv(in_channels, stem_width, 7, stride=2), _norm(stem_width), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        channels = stem_width
        for level, blocks in enumerate(stem_depths):
            middle = stem_width * 2**level
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for i in range(blocks):
                stride = 2 if level > 0 and i == 0 else 1
                stage[str(i)] = _Bottleneck(channels, middle, stride)
                channels = 4 * middle
            self.stages.append(nn.Sequential(stage))

        self.embed = nn.Conv2d(channels, width, 1)
        self.position = nn.Parameter(torch.empty(1, width, grid_size, grid_size))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            *(_TransformerLayer(width, heads, feed_forward, dropout) for _ in range(depth)),
            nn.LayerNorm(width, eps=1e-6),
        )

        self.bridge = ConvNormReLU(width, 2 * decoder_channels[0])
        widths = (2 * decoder_channels[0], *decoder_channels)
        skips = (8 * stem_width, 4 * stem_width, stem_width)
        self.decoder = nn.ModuleList(
            UpBlock(widths[i], skip, widths[i + 1], "bilinear") for i, skip in enumerate(skips)
        )
        upsample, _ = upsample_by_two(widths[3], widths[4], "bilinear")
        self.last = nn.Sequential(upsample, DoubleConv(widths[3], widths[4]))
        self.head = Head(widths[4], out_channels, 3)

        nn.init.trunc_normal_(self.position, std=0.02)
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float.

        Returns:
            Logits ``(B, out_channels, H, W)``.

        Raises:
            InputError: the height or the width is below 32.
        """
        # Two pixels a side at stride 16 at least: batch norm needs them for a batch of one.
        hidden = self.root(pad_to_multiple(x, 16, 32))
        maps = [hidden]
        hidden = self.pool(hidden)
        for stage in self.stages:
            hidden = stage(hidden)
            maps.append(hidden)

        hidden = self.embed(hidden)
        height, width = hidden.shape[2], hidden.shape[3]
        position: Tensor = self.position
        if position.shape[2] != height or position.shape[3] != width:
            position = F.interpolate(position, size=[height, width], mode="bilinear", align_corners=False)
        tokens = self.layers(self.dropout((hidden + position).flatten(2).transpose(1, 2)))
        hidden = self.bridge(tokens.transpose(1, 2).reshape(x.shape[0], -1, height, width))

        for i, block in enumerate(self.decoder):
            hidden = block(hidden, maps[2 - i])
        return crop_to_input(self.head(self.last(hidden)), x)

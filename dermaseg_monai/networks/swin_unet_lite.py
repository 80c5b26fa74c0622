"""Light U-shaped network of shifted-window transformer blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import PatchMerging, SwinTransformerBlock

from dermaseg_monai.networks.blocks import ConvNormReLU, Head, check_entries
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple
from dermaseg_monai.utils.errors import InputError

_FINAL_CHANNELS = 16


class _PatchExpanding(nn.Module):
    """Linear layer that turns each token into ``factor`` x ``factor`` of ``out_width`` channels, and a norm.

    The reverse of patch merging, over maps ``(B, H, W, C)``.
    """

    def __init__(self, in_width: int, out_width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(in_width, factor**2 * out_width, bias=False)
        self.norm = nn.LayerNorm(out_width)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        factor = self.factor
        x = self.expand(x).view(batch, height, width, factor, factor, -1).permute(0, 1, 3, 2, 4, 5)
        return self.norm(x.reshape(batch, factor * height, factor * width, -1))


class _UpStage(nn.Module):
    """Patch expanding by two, fusion with the skip, transformer blocks; over maps ``(B, H, W, C)``."""

    def __init__(self, in_width: int, out_width: int, blocks: nn.Module) -> None:
        super().__init__()
        self.expand = _PatchExpanding(in_width, out_width, 2)
        self.fuse = nn.Linear(2 * out_width, out_width)
        self.blocks = blocks

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.blocks(self.fuse(torch.cat([self.expand(x), skip], dim=3)))


class SwinUNetLite(nn.Module):
    """U-shaped shifted-window transformer of torchvision's Swin blocks, with under 10 million parameters.

    Encoder at strides 4, 8, 16 and 32 with patch merging between; the decoder mirrors it with patch expanding
    and concatenated skips; a last expansion by four returns to the image's size. Two things differ from
    Swin-Unet, because this network is meant to be trained without pretraining: the patches are embedded by
    two strided convolutions (Xiao 2021), and a 3x3 convolution after the last expansion smooths over the
    seams between patches. 6,819,837 parameters with one logit.

    Inputs are padded at the right and bottom to a multiple of 32, at least 32, and the logits are cropped
    back. Windows that do not divide a map are filled up with zeros inside the blocks; the default of 8 divides
    every map of a 256 pixel image.

    Args:
        in_channels: channels of the images.
        out_channels: number of logits per pixel.
        width: channels of the first stage, even; each further stage doubles them.
        depths: transformer blocks of the four encoder stages; the decoder mirrors the first three. Every
            second block shifts its windows.
        heads: attention heads of the four stages; each divides its stage's width.
        window_size: side of the attention windows, tokens, at least 2.
        drop_path: probability of skipping the deepest block's branches per image in training; it grows
            linearly from 0 at the first block; in [0, 1).

    Raises:
        InputError: ``depths`` or ``heads`` has not four entries, a width is no multiple of its heads, ``width`` is
            odd, or ``window_size`` is below 2.

    Reference: Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV
        2021, https://arxiv.org/abs/2103.14030; Cao et al., "Swin-Unet: Unet-like Pure Transformer for Medical
        Image Segmentation", ECCV Workshops 2022, https://arxiv.org/abs/2105.05537; Xiao et al., "Early
        Convolutions Help Transformers See Better", NeurIPS 2021, https://arxiv.org/abs/2106.14881

    Example:
        >>> network = SwinUNetLite(out_channels=1, width=8, heads=(1, 2, 4, 4), window_size=4).eval()
        >>> network(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        width: int = 48,
        depths: Sequence[int] = (2, 2, 2, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 8,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        for name, values in (("depths", depths), ("heads", heads)):
            check_entries(values, 4, name, "SwinUNetLite")
        widths = [width * 2**level for level in range(4)]
        if width % 2 or any(channels % head for channels, head in zip(widths, heads, strict=True)):
            raise InputError(
                f"width of SwinUNetLite must be even, and {widths} multiples of the heads, which are "
                f"{list(heads)}."
            )
        if window_size < 2:
            raise InputError(f"window_size of SwinUNetLite must be at least 2, but is {window_size}.")

        steps = max(sum(depths) - 1, 1)

        def blocks(level: int) -> nn.Sequential:
            return nn.Sequential(
                *(
                    SwinTransformerBlock(
                        widths[level],
                        heads[level],
                        window_size=[window_size, window_size],
                        shift_size=[0 if i % 2 == 0 else window_size // 2] * 2,
                        stochastic_depth_prob=drop_path * (sum(depths[:level]) + i) / steps,
                    )
                    for i in range(depths[level])
                )
            )

        self.embed = nn.Sequential(
            ConvNormReLU(in_channels, width // 2, stride=2), ConvNormReLU(width // 2, width, stride=2)
        )
        self.encoder = nn.ModuleList(blocks(level) for level in range(4))
        self.merge = nn.ModuleList(PatchMerging(channels) for channels in widths[:3])
        self.norm = nn.LayerNorm(widths[3])
        self.decoder = nn.ModuleList(
            _UpStage(widths[level + 1], widths[level], blocks(level)) for level in (2, 1, 0)
        )
        self.last_norm = nn.LayerNorm(width)
        self.last_expand = _PatchExpanding(width, _FINAL_CHANNELS, 4)
        self.head = nn.Sequential(
            ConvNormReLU(_FINAL_CHANNELS, _FINAL_CHANNELS), Head(_FINAL_CHANNELS, out_channels)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
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
        hidden = self.embed(pad_to_multiple(x, 32)).permute(0, 2, 3, 1)
        skips: list[Tensor] = []
        for blocks, merge in zip(self.encoder, self.merge):  # noqa: B905 (TorchScript; the fourth has no merge)
            hidden = blocks(hidden)
            skips.append(hidden)
            hidden = merge(hidden)
        hidden = self.norm(self.encoder[3](hidden))
        for i, stage in enumerate(self.decoder):
            hidden = stage(hidden, skips[2 - i])
        hidden = self.last_expand(self.last_norm(hidden)).permute(0, 3, 1, 2)
        return crop_to_input(self.head(hidden), x)

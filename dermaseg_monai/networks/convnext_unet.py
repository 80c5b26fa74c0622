"""ConvNeXt U-Net: a ConvNeXt-Tiny encoder under a decoder of residual units and attention gates."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models import convnext_tiny
from torchvision.models.convnext import LayerNorm2d

from dermaseg_monai.networks.attention_unet import AttentionGate, GatedUpBlock
from dermaseg_monai.networks.blocks import Head, check_entries, upsample_by_two
from dermaseg_monai.networks.encoder_weights import first_convolution, load_encoder_weights
from dermaseg_monai.networks.residual_unet import ResidualUnit, ResidualUpBlock
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple

# Channels of the encoder's maps at strides 4, 8, 16 and 32. In torchvision's `features` list, each map takes
# two entries: the stem or a downsampling layer, and the stage's blocks.
_CHANNELS = (96, 192, 384, 768)


class ConvNeXtUNet(nn.Module):
    """U-Net of residual units with gated skips over torchvision's ConvNeXt-Tiny features.

    The maps at strides 4, 8, 16 and 32 are normalised over their channels, as ConvNeXt is used for dense
    prediction. Skips of the first three pass additive attention gates, driven by the coarser map; two
    more steps without skips return to the image's size. 33,066,040 parameters with five logits.

    Inputs are padded at the right and bottom to a multiple of 32, and the logits are cropped back.

    Args:
        in_channels: channels of the images; an ImageNet start needs 3.
        out_channels: number of logits per pixel.
        encoder_weights: ImageNet start of the encoder: "IMAGENET1K_V1" (downloaded by torchvision), the path
            of a local state dict (of torchvision's whole ``convnext_tiny`` or of its ``features`` alone, any
            floating type), or None for a random start.
        decoder_channels: widths of the five decoder steps, at strides 16, 8, 4, 2 and 1.
        dropout: share of the deepest map's channels dropped in training, in [0, 1).

    Raises:
        InputError: ``decoder_channels`` has not five entries, or the encoder weights do not fit.

    Reference: Liu et al., "A ConvNet for the 2020s", CVPR 2022, https://arxiv.org/abs/2201.03545; gates of
        Oktay et al., https://arxiv.org/abs/1804.03999; units of Zhang et al., https://arxiv.org/abs/1711.10684

    Example:
        >>> import torch
        >>> network = ConvNeXtUNet(out_channels=5).eval()
        >>> network(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 5, 32, 32])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 5,
        encoder_weights: str | None = None,
        decoder_channels: Sequence[int] = (256, 128, 64, 32, 16),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_entries(decoder_channels, 5, "decoder_channels", "ConvNeXtUNet")
        features = convnext_tiny(weights=None).features
        features[0][0] = first_convolution(features[0][0], in_channels)
        load_encoder_weights(features, encoder_weights, "convnext_tiny", prefix="features.")
        self.encoder = nn.ModuleList(features[2 * level : 2 * level + 2] for level in range(len(_CHANNELS)))
        self.norms = nn.ModuleList(LayerNorm2d(channels, eps=1e-6) for channels in _CHANNELS)
        self.dropout = nn.Dropout2d(dropout)

        widths = (_CHANNELS[-1], *decoder_channels)
        self.decoder = nn.ModuleList(
            GatedUpBlock(
                AttentionGate(skip, widths[i]), ResidualUpBlock(widths[i], skip, widths[i + 1], "bilinear")
            )
            for i, skip in enumerate(_CHANNELS[-2::-1])
        )
        last: list[nn.Module] = []
        for coarse, fine in ((widths[3], widths[4]), (widths[4], widths[5])):
            upsample, channels = upsample_by_two(coarse, coarse, "bilinear")
            last += [upsample, ResidualUnit(channels, fine)]
        self.last = nn.Sequential(*last)
        self.head = Head(widths[5], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float, of any size from 32 x 32.

        Returns:
            Logits ``(B, out_channels, H, W)``.

        Raises:
            InputError: the height or the width is below 32.
        """
        hidden = pad_to_multiple(x, 32)
        maps: list[Tensor] = []
        for stage, norm in zip(self.encoder, self.norms):  # noqa: B905 (TorchScript has no strict zip)
            hidden = stage(hidden)
            maps.append(norm(hidden))
        hidden = self.dropout(maps[-1])
        for i, block in enumerate(self.decoder):
            hidden = block(hidden, maps[-2 - i])
        return crop_to_input(self.head(self.last(hidden)), x)

"""MobileSAM's image encoder: timm's TinyViT-5M under SAM's neck."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import timm
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from dermaseg_monai.networks.timm_unet import forget_biases_at_loading, keep_stride_of_16

_NAME = "tiny_vit_5m_224"
_HEADS = ("image_encoder.norm_head.", "image_encoder.head.")

# the ``mobile_sam`` package's names of the encoder's tensors, and timm's
_RENAMED = (
    (r"^image_encoder\.patch_embed\.seq\.0\.", "image_encoder.features.patch_embed.conv1."),
    (r"^image_encoder\.patch_embed\.seq\.2\.", "image_encoder.features.patch_embed.conv2."),
    (r"^image_encoder\.layers\.0\.downsample\.", "image_encoder.features.stages_1.downsample."),
    (r"^image_encoder\.layers\.1\.downsample\.", "image_encoder.features.stages_2.downsample."),
    (r"^image_encoder\.layers\.2\.downsample\.", "image_encoder.features.stages_3.downsample."),
    (r"^image_encoder\.layers\.(\d)\.", r"image_encoder.features.stages_\1."),
    (r"^(image_encoder\.features\..*)\.c\.", r"\1.conv."),
)


class TinyViTEncoder(nn.Module):
    """TinyViT-5M whose last stage keeps stride 16, and SAM's neck: the image encoder of MobileSAM.

    It is always in evaluation mode: the batch norms of the published weights are folded into their convolutions
    and have no statistics to train with. 5,743,892 parameters.

    Args:
        image_size: side of the square input in pixels, a multiple of 16.
        out_channels: channels of the embeddings.

    Reference: Zhang et al., "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications", 2023.
        arXiv:2306.14289; Wu et al., "TinyViT", ECCV 2022. arXiv:2207.10666

    Example:
        >>> TinyViTEncoder(64)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 256, 4, 4])
    """

    def __init__(self, image_size: int = 1024, out_channels: int = 256) -> None:
        super().__init__()
        self.img_size = image_size
        features: Any = timm.create_model(_NAME, features_only=True, out_indices=(3,))
        keep_stride_of_16(features)
        (channels,) = features.feature_info.channels()
        self.features = features
        self.neck = nn.Sequential(
            nn.Conv2d(channels, out_channels, 1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )
        self.train()
        forget_biases_at_loading(self)

    def train(self, mode: bool = True) -> TinyViTEncoder:
        """Stay in evaluation mode, whatever ``mode`` says."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images ``(B, 3, S, S)``: ``(B, out_channels, S / 16, S / 16)``."""
        return self.neck(self.features(images)[0])


def with_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name MobileSAM's tensors as :class:`SamNetwork` does, and leave out TinyViT's classifier.

    Args:
        weights: a state dict by the names of the ``mobile_sam`` package, or of this one already.

    Returns:
        The same tensors by this package's names.
    """
    renamed = {}
    for name, tensor in weights.items():
        if str(name).startswith(_HEADS):
            continue
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, str(name))
        renamed[name] = tensor
    return renamed

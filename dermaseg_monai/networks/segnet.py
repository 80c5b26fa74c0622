"""SegNet: an encoder and a decoder joined by pooling indices alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torchvision.models.vgg import make_layers

from dermaseg_monai.networks.blocks import ConvNormReLU, Head
from dermaseg_monai.networks.encoder_weights import first_convolution, load_encoder_weights, read_state_dict
from dermaseg_monai.networks.sizes import crop_to_input, pad_to_multiple
from dermaseg_monai.utils.errors import InputError

# Before the name of weights without batch norm, as torchvision writes it in full.
_PLAIN = "VGG16_Weights."


def unpool_by_two(x: Tensor, indices: Tensor) -> Tensor:
    """Put pooled values back where 2x2 max-pooling found them, and zeros elsewhere.

    Equal to ``torch.nn.functional.max_unpool2d``, but carried by every ONNX exporter.

    Args:
        x: pooled values ``(B, C, H, W)``.
        indices: their places as max-pooling returns them, int64, of the same shape.

    Returns:
        Values ``(B, C, 2H, 2W)``.
    """
    batch, channels, height, width = x.shape
    # Reshapes rather than flatten and unflatten, which older ONNX exporters refuse in scripted code.
    index = indices.reshape([batch, channels, height * width])
    values = x.reshape([batch, channels, height * width])
    canvas = torch.zeros([batch, channels, 4 * height * width], dtype=x.dtype, device=x.device)
    return canvas.scatter(2, index, values).reshape([batch, channels, 2 * height, 2 * width])


class SegNet(nn.Module):
    """SegNet: VGG16's thirteen convolutions with batch norm, and their mirror image as decoder.

    The decoder receives no feature maps from the encoder, only the places of the maxima of its five 2x2
    poolings, and fills the maps by convolution. 29,439,873 parameters with one logit (29.4 million). The
    encoder is torchvision's ``vgg16_bn``, biases included, so that its weights fit; the decoder's convolutions
    need no bias before their batch norms.

    Export: TorchScript carries the network as it is. ONNX cannot carry ``max_unpool2d`` from PyTorch's older,
    TorchScript-based exporter, and no exporter writes ONNX's own MaxUnpool; so the unpooling here is a
    scatter, which all of them carry exactly. A runtime must know MaxPool with indices and ScatterElements.

    Inputs are padded at the right and bottom to a multiple of ``2 ** len(features)`` (32 by default), at least
    that, and the logits are cropped back.

    Args:
        in_channels: channels of the images; pretrained weights need 3.
        out_channels: number of logits per pixel.
        features: channels of each stage, finest first.
        convolutions: number of convolutions of each stage, as many entries as ``features``.
        encoder_weights: a torchvision weights name of ``vgg16_bn`` such as "IMAGENET1K_V1" or of the plain
            ``vgg16`` such as "VGG16_Weights.IMAGENET1K_V1" (both downloaded), the path of a local state-dict
            file of either whole model or of its ``features``, or None for random weights. Weights of the plain
            ``vgg16`` have no batch norms: each norm then adds the convolution's bias and does nothing else, so
            that the encoder computes exactly what ``vgg16`` does in evaluation mode. Before training such
            norms need the statistics of images, which leave that function as it is, see
            ``calibrate_batch_norms``; without these, the first training step would normalise it away.

    Raises:
        InputError: ``features`` and ``convolutions`` are empty or differ in length, or the encoder weights do not fit.

    Reference: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for
        Image Segmentation", IEEE TPAMI 2017, https://arxiv.org/abs/1511.00561

    Example:
        >>> network = SegNet(out_channels=1, features=(4, 6, 8, 8, 8)).eval()
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (64, 128, 256, 512, 512),
        convolutions: Sequence[int] = (2, 2, 3, 3, 3),
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        if len(features) != len(convolutions) or len(features) == 0:
            raise InputError(
                f"features is {list(features)} and convolutions {list(convolutions)}; a SegNet needs one entry "
                f"for each stage in both."
            )
        self.multiple = 2 ** len(features)
        self.encoder = nn.ModuleList(_vgg_stages(in_channels, features, convolutions, encoder_weights))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.decoder = nn.ModuleList()
        for stage in reversed(range(len(features))):
            width = features[stage]
            layers: list[nn.Module] = [ConvNormReLU(width, width) for _ in range(convolutions[stage] - 1)]
            if stage > 0:
                layers.append(ConvNormReLU(width, features[stage - 1]))
            else:
                layers.append(Head(width, out_channels, 3))
            self.decoder.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: images ``(B, in_channels, H, W)``, float.

        Returns:
            Logits ``(B, out_channels, H, W)``.

        Raises:
            InputError: the height or the width is below ``2 ** len(features)``.
        """
        hidden = pad_to_multiple(x, self.multiple)
        maxima: list[Tensor] = []
        for stage in self.encoder:
            hidden, indices = self.pool(stage(hidden))
            maxima.append(indices)
        for step, stage in enumerate(self.decoder):
            hidden = stage(unpool_by_two(hidden, maxima[-1 - step]))
        return crop_to_input(hidden, x)


def _vgg_stages(
    in_channels: int, features: Sequence[int], convolutions: Sequence[int], weights: str | None
) -> list[nn.Sequential]:
    """torchvision's VGG features with batch norm, cut at the poolings."""
    plan: list[str | int] = []
    for width, count in zip(features, convolutions, strict=True):
        plan += [*[width] * count, "M"]
    layers = make_layers(plan, batch_norm=True)
    layers[0] = first_convolution(layers[0], in_channels)
    if _lack_norms(weights):
        plain = make_layers(plan, batch_norm=False)
        load_encoder_weights(plain, weights.removeprefix(_PLAIN), "vgg16", prefix="features.")
        _take_plain(layers, plain)
    else:
        load_encoder_weights(layers, weights, "vgg16_bn", prefix="features.")
    stages, start = [], 0
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.MaxPool2d):
            stages.append(layers[start:index])
            start = index + 1
    return stages


def _lack_norms(weights: str | None) -> TypeGuard[str]:
    """Whether weights are those of VGG16 without batch norm."""
    if weights is None or not Path(weights).is_file():
        return weights is not None and weights.startswith(_PLAIN)
    return not any(name.endswith("running_mean") for name in read_state_dict(weights))


def _take_plain(layers: nn.Sequential, plain: nn.Sequential) -> None:
    """Give convolutions followed by batch norms the weights of convolutions that have none."""
    convolutions: list[Any] = [layer for layer in plain if isinstance(layer, nn.Conv2d)]
    blocks: list[Any] = [pair for pair in pairwise(layers) if isinstance(pair[0], nn.Conv2d)]
    with torch.no_grad():
        for (convolution, norm), source in zip(blocks, convolutions, strict=True):
            convolution.weight.copy_(source.weight)
            convolution.bias.zero_()
            norm.weight.fill_((1 + norm.eps) ** 0.5)
            norm.bias.copy_(source.bias)

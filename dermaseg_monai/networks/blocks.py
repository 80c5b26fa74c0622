"""Pieces that several networks share: convolution blocks, size handling, pretrained encoder weights."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model_weights

from dermaseg_monai.utils.errors import InputError

Upsampling = Literal["transpose", "bilinear"]
Norm = Literal["batch", "none"]

_NORM_GROUP = 8

# Beginnings of the names of torchvision's classifiers, auxiliary ones included.
CLASSIFIERS = ("fc.", "classifier.", "AuxLogits.")


def check_minimum_size(x: Tensor, minimum: int) -> None:
    """Refuse an image that a network would shrink to nothing.

    Args:
        x: images ``(B, C, H, W)``.
        minimum: smallest allowed height and width, pixels.

    Raises:
        InputError: the height or the width is below ``minimum``.
    """
    height, width = x.shape[-2], x.shape[-1]
    if height < minimum or width < minimum:
        raise InputError(
            f"the input is {height} x {width} pixels (height x width), but this network needs at least "
            f"{minimum} x {minimum}; resize the image first."
        )


def pad_to_multiple(x: Tensor, multiple: int, minimum: int | None = None) -> Tensor:
    """Extend an image at its right and bottom edge, by repeating the edge, to a multiple in height and width.

    Undo it on the logits with ``crop_to_input``. An image that fits already is returned as it is.

    Args:
        x: images ``(B, C, H, W)``.
        multiple: what the returned height and width are multiples of, pixels.
        minimum: smallest allowed height and width, pixels; ``multiple`` where it is not given.

    Returns:
        Images ``(B, C, H', W')`` with ``H <= H' < H + multiple`` and ``W <= W' < W + multiple``.

    Raises:
        InputError: the height or the width is below ``minimum``.
    """
    check_minimum_size(x, multiple if minimum is None else minimum)
    bottom = -x.shape[-2] % multiple
    right = -x.shape[-1] % multiple
    if bottom > 0 or right > 0:
        x = F.pad(x, [0, right, 0, bottom], mode="replicate")
    return x


def crop_to_input(logits: Tensor, x: Tensor) -> Tensor:
    """Cut logits of a padded image back to the height and width of the image before padding.

    Args:
        logits: ``(B, K, H', W')`` with ``H' >= H`` and ``W' >= W``.
        x: the images before padding, ``(B, C, H, W)``.

    Returns:
        Logits ``(B, K, H, W)``.
    """
    return logits[:, :, : x.shape[-2], : x.shape[-1]]


def resize_to_input(logits: Tensor, x: Tensor) -> Tensor:
    """Interpolate coarse logits bilinearly to the height and width of the image.

    Args:
        logits: ``(B, K, h, w)``.
        x: the images ``(B, C, H, W)``.

    Returns:
        Logits ``(B, K, H, W)``.
    """
    return F.interpolate(logits, size=[x.shape[-2], x.shape[-1]], mode="bilinear", align_corners=False)


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


def first_convolution(convolution: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """The first convolution of an encoder for images of any number of channels.

    Args:
        convolution: the encoder's own.
        in_channels: channels of the images.

    Returns:
        ``convolution`` itself where it takes as many channels, else a new one of the same geometry, with Kaiming's
        normal weights.
    """
    if convolution.in_channels == in_channels:
        return convolution
    new = nn.Conv2d(
        in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    return new


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


def load_encoder_weights(
    encoder: nn.Module, weights: str | None, architecture: str, prefix: str = ""
) -> None:
    """Start an encoder from pretrained weights, in place.

    The weights must be the encoder's, entry by entry; beyond these they may hold classifiers (``fc.``,
    ``classifier.``, ``AuxLogits.``), which are left out.

    Args:
        encoder: the module to fill, its entries named as in torchvision's model.
        weights: a torchvision weights name such as "IMAGENET1K_V1" (downloaded once, into the cache of
            ``torch.hub``, and found there by its file name), the path of a local state-dict file of any floating
            type, or None, which leaves the encoder as it is.
        architecture: torchvision's name of the model that the weights belong to, such as "vgg16_bn".
        prefix: where the encoder sits inside that model, such as "features."; a local file may hold the whole
            model or the encoder alone.

    Raises:
        InputError: ``weights`` is neither a file nor a known name, cannot be downloaded, or does not fit the
            encoder.
    """
    if weights is None:
        return
    state = {
        name.removeprefix(prefix): value
        for name, value in _read_weights(weights, architecture).items()
        if not name.startswith(CLASSIFIERS)
    }
    fill_encoder(encoder, state, weights, f"torchvision's {architecture}")


def fill_encoder(encoder: nn.Module, state: Mapping[str, Tensor], weights: str, source: str) -> None:
    """Load a state dict into an encoder, entry by entry, in place.

    Args:
        encoder: the module to fill.
        state: tensors of any floating type by the encoder's names; only batch counters may be missing.
        weights: what the user asked for, for the message.
        source: the model whose weights fit, for the message.

    Raises:
        InputError: an entry is missing, unknown or of another shape.
    """
    expected = encoder.state_dict()
    # Old checkpoints have no batch counters.
    lacking = {name for name in expected.keys() - state.keys() if not name.endswith("num_batches_tracked")}
    misshapen = {name for name in expected.keys() & state.keys() if state[name].shape != expected[name].shape}
    problems = [
        f"{what}: {len(names)}, such as {min(names)!r}"
        for what, names in (
            ("missing", lacking),
            ("unknown", state.keys() - expected.keys()),
            ("of another shape", misshapen),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"the encoder weights {weights!r} do not fit this encoder (entries {'; '.join(problems)}); give "
            f"those of {source}."
        )
    encoder.load_state_dict(state, strict=False)


def read_state_dict(path: str) -> Mapping[str, Tensor]:
    """Read a file of named tensors, on the CPU.

    Args:
        path: a state dict saved with ``torch.save``.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"the encoder weights {path!r} cannot be read; give a state dict saved with torch.save."
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise InputError(
            f"the encoder weights {path!r} hold something other than names and tensors; save "
            f"model.state_dict() itself with torch.save."
        )
    return state


def _read_weights(weights: str, architecture: str) -> Mapping[str, Tensor]:
    if Path(weights).is_file():
        return read_state_dict(weights)
    known = get_model_weights(architecture)
    if weights not in known.__members__:
        raise InputError(
            f"the encoder weights {weights!r} are neither a file nor torchvision's name of weights for "
            f"{architecture}; give a path, one of {', '.join(known.__members__)}, or None for a start from nothing."
        )
    url = known[weights].url
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    try:
        return known[weights].get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:
        if cached.is_file():
            raise InputError(
                f"{cached} is not a file of weights ({type(error).__name__}); delete it, and it is downloaded "
                "again."
            ) from error
        raise InputError(
            f"torchvision's {weights} weights of {architecture} are not on this machine, and {url} cannot be "
            f"downloaded ({getattr(error, 'reason', error)}); give their file by --encoder_weights FILE, or "
            f"--encoder_weights None for a start from nothing."
        ) from error

"""U-Net over any encoder of timm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from dermaseg_monai.networks.encoder_unet import EncoderUNet, Squeeze
from dermaseg_monai.networks.encoder_weights import CLASSIFIERS, fill_encoder, read_state_dict
from dermaseg_monai.utils.errors import InputError

# Height and width that are multiples of this suit every encoder down to its deepest map.
_MULTIPLE = 32
_SKIP_STRIDES = (2, 4, 8, 16)
_ANY_TAG = "imagenet"


class TimmEncoder(nn.Module):
    """Encoder of timm that returns five maps: skips at strides 2, 4, 8 and 16, and the deepest map.

    Where the encoder has no map at a stride, that skip has no channels: patch embeddings of ConvNeXt and of
    transformers begin at stride 4.

    Args:
        name: timm's name of the architecture, without a tag.
        weights: see ``TimmUNet``.
        in_channels: channels of the images.
        output_stride: 16 or 32, stride of the deepest map.

    Attributes:
        channels: channels of the five maps.

    Raises:
        InputError: see ``TimmUNet``.
    """

    def __init__(self, name: str, weights: str | None, in_channels: int, output_stride: int) -> None:
        super().__init__()
        if not timm.is_model(name) or "." in name:
            raise InputError(
                f"encoder_name is {name!r}, which is no architecture of timm; give one that "
                f"timm.list_models() has, without a tag, such as 'tf_efficientnet_lite0'."
            )
        if output_stride not in (16, 32):
            raise InputError(f"output_stride of TimmUNet is {output_stride}; choose 16 or 32.")
        self.features = _features(name, in_channels, output_stride)
        maps = self._probe(name, in_channels, output_stride)
        strides = [2 * _MULTIPLE // skip.shape[2] for skip in maps[:-1]]
        self.strides = list(_SKIP_STRIDES)
        # The last of several maps of a stride: it has seen most. -1 where there is none.
        self.indices = [
            len(strides) - 1 - strides[::-1].index(stride) if stride in strides else -1
            for stride in _SKIP_STRIDES
        ]
        self.channels = [0 if i < 0 else maps[i].shape[1] for i in self.indices] + [maps[-1].shape[1]]
        if weights is not None:
            state = _named_as(self.features, _read_weights(weights, name), name)
            fill_encoder(self.features, state, weights, f"timm's {name}")
        forget_biases_at_loading(self)

    def _probe(self, name: str, in_channels: int, output_stride: int) -> list[Tensor]:
        """The maps of the smallest image: what timm says of an encoder does not tell which sizes it takes."""
        self.features.eval()
        try:
            with torch.no_grad():
                maps = self.features(torch.zeros(1, in_channels, 2 * _MULTIPLE, 2 * _MULTIPLE))
        except Exception as error:
            raise InputError(
                f"timm's {name} does not take images of {2 * _MULTIPLE} x {2 * _MULTIPLE} pixels ({error}); "
                f"choose an encoder that takes images of any size."
            ) from error
        self.features.train()
        channels = self.features.feature_info.channels()
        deepest = maps[-1].shape[2]
        if [one.shape[1] for one in maps] != channels or output_stride * deepest != 2 * _MULTIPLE:
            raise InputError(
                f"the maps of timm's {name} are {', '.join(str(tuple(one.shape)) for one in maps)}, but "
                f"this network needs maps (B, C, H, W) down to stride {output_stride}; choose another encoder "
                f"or output_stride."
            )
        return maps

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the five maps, finest first, for images ``(B, C, H, W)`` of a multiple of 32 pixels a side."""
        features: list[Tensor] = self.features(x)
        maps: list[Tensor] = []
        for stride, index in zip(self.strides, self.indices):  # noqa: B905 (TorchScript has no strict zip)
            maps.append(x[:, :0, ::stride, ::stride] if index < 0 else features[index])
        maps.append(features[-1])
        return maps


class TimmUNet(EncoderUNet):
    """U-Net decoder of plain light convolutions over an encoder of timm.

    The decoder is that of ``MobileNetV2UNet``: the deepest map is squeezed to 256 channels, five steps lead
    through strides 16, 8, 4 and 2 to the image's size, and each joins the encoder's map of its stride where
    there is one. With ``tf_efficientnet_lite0`` it has 3,840,785 parameters with one logit, with
    ``tiny_vit_5m_224`` 6,071,717.

    Every architecture of timm will do that offers ``features_only``, takes images of any size and returns maps
    ``(B, C, H, W)``: EfficientNet, MobileNet, ResNet, RegNet, ConvNeXt, TinyViT, PVT and others. Inputs are
    padded at the right and bottom to a multiple of 32, and the logits are cropped back. Windows of TinyViT (7
    and 14 places of its maps) are filled up with zeros inside the encoder where they do not fit.

    Args:
        encoder_name: timm's name of the encoder, such as "tf_efficientnet_lite0" or "tiny_vit_5m_224".
        encoder_weights: "imagenet" for timm's default weights of this encoder, the tag of others such as
            "dist_in22k" (both downloaded by timm into its own cache), the path of a local state dict (of
            timm's whole model or of its encoder, with the names of either; of torchvision's model of the same
            architecture or its ``features``, where timm's has the same tensors in the same order; any floating
            type), or None for a random start. Batch norms that were folded into their convolutions need
            statistics before training, see ``calibrate_batch_norms``.
        in_channels: channels of the images; pretrained weights need 3.
        out_channels: number of logits per pixel.
        decoder_channels: widths of the five decoder steps, at strides 16, 8, 4, 2 and 1.
        output_stride: 32, or 16 where the encoder's last stage keeps its size. TinyViT weights that come from
            MobileSAM are made for 16.
        dropout: share of the bottleneck's channels dropped in training, in [0, 1).

    Raises:
        InputError: there is no such encoder, it does not take images of any size, ``decoder_channels`` has not
            five entries, or the encoder weights cannot be had or do not fit.

    Reference: Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models;
        Ronneberger et al., "U-Net", MICCAI 2015, https://arxiv.org/abs/1505.04597

    Example:
        >>> network = TimmUNet("test_efficientnet", out_channels=1).eval()
        >>> network(torch.zeros(1, 3, 96, 128)).shape
        torch.Size([1, 1, 96, 128])
    """

    def __init__(
        self,
        encoder_name: str,
        encoder_weights: str | None = None,
        in_channels: int = 3,
        out_channels: int = 1,
        decoder_channels: Sequence[int] = (128, 64, 48, 32, 16),
        output_stride: int = 32,
        dropout: float = 0.1,
    ) -> None:
        encoder = TimmEncoder(encoder_name, encoder_weights, in_channels, output_stride)
        bottleneck = Squeeze(encoder.channels[-1], dropout)
        super().__init__(encoder, encoder.channels, bottleneck, out_channels, decoder_channels, _MULTIPLE)


def forget_biases_at_loading(encoder: nn.Module) -> None:
    """Make an encoder use the weights that are loaded into it while it is in evaluation mode.

    TinyViT keeps its attention biases in evaluation mode; setting the mode lets go of them.

    Args:
        encoder: TinyViT, or a module around it.
    """
    encoder.register_load_state_dict_post_hook(_set_mode_again)


def _set_mode_again(encoder: nn.Module, _: Any) -> None:
    encoder.train(encoder.training)


def keep_stride_of_16(tiny_vit: Any) -> None:
    """Let the last stage of timm's TinyViT keep its size, as MobileSAM does.

    Args:
        tiny_vit: timm's encoder, changed in place.
    """
    tiny_vit.stages_3.downsample.conv2.conv.stride = (1, 1)


def _features(name: str, in_channels: int, output_stride: int) -> Any:
    """timm's encoder, which returns a list of maps."""
    tiny_vit = name.startswith("tiny_vit")
    # timm's other default, 32, is left unsaid: not every architecture knows the argument
    options: dict[str, Any] = {"output_stride": output_stride} if output_stride != 32 and not tiny_vit else {}
    try:
        features: Any = timm.create_model(name, features_only=True, in_chans=in_channels, **options)
    except (AssertionError, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"timm's {name} does not work as an encoder of output stride {output_stride} ({error}); choose "
            f"another one."
        ) from error
    if tiny_vit and output_stride == 16:
        keep_stride_of_16(features)
    return features


def _read_weights(weights: str, name: str) -> Mapping[str, Tensor]:
    if Path(weights).is_file():
        return read_state_dict(weights)
    tags = [known.removeprefix(f"{name}.") for known in timm.list_pretrained(f"{name}.*")]
    if weights not in (_ANY_TAG, *tags):
        raise InputError(
            f"the encoder weights {weights!r} are neither a file nor a tag of timm's weights for {name}; give "
            f"a path or one of {', '.join([_ANY_TAG, *tags])}."
        )
    try:
        whole = timm.create_model(name if weights == _ANY_TAG else f"{name}.{weights}", pretrained=True)
    except Exception as error:
        raise InputError(
            f"the encoder weights {weights!r} of timm's {name} cannot be downloaded "
            f"({type(error).__name__}); give a file of them, or None for a start from nothing."
        ) from error
    return whole.state_dict()


def _named_as(encoder: nn.Module, state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Tensors of a whole model by the encoder's names, without those that only the model's head has."""
    with torch.device("meta"):
        whole = timm.create_model(name).state_dict()
    # An encoder's names differ from the whole model's in dots that became underscores.
    names = {_plain(entry): entry for entry in encoder.state_dict()}
    heads = {_plain(entry) for entry in whole} - names.keys()
    if all(entry.startswith(("features.", *CLASSIFIERS)) for entry in state):
        layers = [value for entry, value in state.items() if not entry.startswith(CLASSIFIERS)]
        # torchvision's: not the same names, but the same layers in the same order
        if [value.shape for value in layers] == [value.shape for value in whole.values()][: len(layers)]:
            state = dict(zip(whole, layers, strict=False))
    return {
        names.get(_plain(entry), entry): value for entry, value in state.items() if _plain(entry) not in heads
    }


def _plain(entry: str) -> str:
    return entry.removeprefix("model.").replace(".", "_")

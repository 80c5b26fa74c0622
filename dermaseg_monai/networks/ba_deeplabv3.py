"""BA-DeepLabV3: boundary-aware DeepLabV3 with a gated pyramid, cue heads and residual refinement."""

from __future__ import annotations

from typing import Union

import torch
from torch import Tensor, nn

from dermaseg_monai.networks.blocks import ASPP, ConvNormReLU, Head, PooledBatchNorm2d
from dermaseg_monai.networks.dilated_resnet import DILATIONS, dilated_resnet50
from dermaseg_monai.networks.sizes import check_minimum_size, resize_to_input
from dermaseg_monai.utils.errors import InputError

_LOW_CHANNELS = 256
_HIGH_CHANNELS = 2048
_CONTEXT_CHANNELS = 256
_GROUP_SIZE = 8
_DETAIL_CHANNELS = 48
_HEAD_CHANNELS = 64
_FUSION_CHANNELS = 128
_REFINE_CHANNELS = 32


class DynamicASPP(ASPP):
    """Atrous spatial pyramid pooling whose branches are weighted per image.

    Five branches (1x1, three dilated 3x3, image pooling) are scaled by a softmax over the branches that a
    linear gate reads from the pooled features, and are then joined by a 1x1 convolution. The gate starts at
    exactly uniform weights, as in the plain pyramid. Its input is normalised over the batch: pooled features
    are much the same for all images, and a gate that saw them as they are could only choose for all alike.

    Args:
        in_channels: channels of the features.
        out_channels: channels of each branch and of the output, a multiple of 8.
        dilations: rates of the three dilated branches.
        dropout: probability of dropping an output value in training, in [0, 1).

    Reference: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation",
        arXiv:1706.05587, 2017 (the pyramid); the gate is this project's.
    """

    def __init__(
        self, in_channels: int, out_channels: int, dilations: tuple[int, int, int], dropout: float
    ) -> None:
        super().__init__(in_channels, out_channels, dilations, dropout)
        self.gate_norm = PooledBatchNorm2d(in_channels, affine=False)
        self.gate = nn.Linear(in_channels, len(dilations) + 2)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return the context ``(B, out_channels, h, w)`` and the weights ``(B, 5)``, which sum to 1 per image."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        # Divided by the root of their number, the features have a norm of about 1 together. Otherwise a step
        # of the optimizer moves so many weights at once that the gate closes on one branch within a few.
        features = self.gate_norm(mean).flatten(1) * x.shape[1] ** -0.5
        weights = self.gate(features).softmax(dim=1)
        outputs: list[Tensor] = []
        for branch in self.branches:
            outputs.append(branch(x))
        outputs.append(self.pooled(mean).expand(-1, -1, x.shape[2], x.shape[3]))
        # Scaled by the number of branches, so that uniform weights leave every branch as it is.
        scales = (weights * len(outputs)).to(x.dtype)
        scaled: list[Tensor] = []
        for i, output in enumerate(outputs):
            scaled.append(output * scales[:, i, None, None, None])
        return self.project(torch.cat(scaled, dim=1)), weights


class _CueHead(nn.Module):
    """One logit per pixel of the stride-4 map."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(ConvNormReLU(in_channels, _HEAD_CHANNELS, 3), Head(_HEAD_CHANNELS, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class BADeepLabV3(nn.Module):
    """Boundary-aware DeepLabV3.

    A dilated ResNet-50 feeds a gated pyramid and a region head: together a DeepLabV3, whose logits are the
    coarse prediction. At stride 4, a boundary head finds the contour, and an uncertainty head the pixels where
    the coarse prediction is wrong. A refinement decoder fuses the low-level features, the context and the
    cues (coarse lesion probability, contour, uncertainty) at stride 4, joins the result with the cues and the
    image itself at the image's full resolution, and adds a correction to the coarse logits there.

    What keeps the additions from harming the network underneath: the correction starts near zero, so training
    starts as DeepLabV3's; the cues enter the refinement detached, so each head answers to its own
    supervision only; the uncertainty head reads detached features, so it observes without changing what it
    observes. The boundary head trains all that it reads: low-level features, pyramid and encoder.

    Args:
        in_channels: channels of the input image; an ImageNet start needs 3.
        out_channels: 2 (softmax, channel 1 is the lesion) or 1 (sigmoid).
        encoder_weights: ImageNet start of the encoder: ``"IMAGENET1K_V1"`` or ``"IMAGENET1K_V2"`` (downloaded by
            torchvision), the path of a local state dict of torchvision's ``resnet50``, or None.
        output_stride: the encoder's, 8 or 16.
        boundary_head: whether there is a boundary head and its cue.
        uncertainty_head: whether there is an uncertainty head and its cue.
        detach_boundary: whether the boundary head reads the context detached, so that its loss trains the
            low-level features alone and reaches neither the pyramid nor the encoder's deeper stages.
        dropout: probability of dropping a value of the context in training, in [0, 1).

    Attributes:
        branch_names: names of the pyramid's five branches, in the order of the gate weights.

    Raises:
        InputError: ``out_channels`` or ``output_stride`` is another number, or the encoder weights do not fit.

    Reference: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation",
        arXiv:1706.05587, 2017 (encoder, pyramid, region head); the rest is this project's.

    Example:
        >>> network = BADeepLabV3(out_channels=2).eval()
        >>> network(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2, 64, 64])
        >>> maps = network.predict_maps(torch.zeros(1, 3, 64, 64))
        >>> {name: tuple(values.shape) for name, values in maps.items()}
        {'logits': (1, 2, 64, 64), 'gate': (1, 5), 'boundary': (1, 1, 64, 64), 'uncertainty': (1, 1, 64, 64)}
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 2,
        encoder_weights: str | None = None,
        output_stride: int = 8,
        boundary_head: bool = True,
        uncertainty_head: bool = True,
        detach_boundary: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if out_channels not in (1, 2):
            raise InputError(f"out_channels of BADeepLabV3 must be 1 or 2, but is {out_channels}.")
        # From here on the deepest map has several pixels: batch norm needs them to train on a batch of one.
        self.minimum_size = 33
        layers = {"layer1": "low", "layer4": "high"}
        self.encoder = dilated_resnet50(in_channels, output_stride, encoder_weights, layers)

        dilations = DILATIONS[output_stride]
        self.branch_names = ("conv1x1", *(f"dilation{rate}" for rate in dilations), "image_pooling")
        self.aspp = DynamicASPP(_HIGH_CHANNELS, _CONTEXT_CHANNELS, dilations, dropout)
        self.context = ConvNormReLU(_CONTEXT_CHANNELS, _CONTEXT_CHANNELS, 3)
        self.region = Head(_CONTEXT_CHANNELS, out_channels)

        self.detail = ConvNormReLU(_LOW_CHANNELS, _DETAIL_CHANNELS, 1)
        features = _DETAIL_CHANNELS + _CONTEXT_CHANNELS
        self.boundary = _CueHead(features) if boundary_head else None
        self.uncertainty = _CueHead(features + 1) if uncertainty_head else None
        self.detach_boundary = detach_boundary
        cues = 1 + int(boundary_head) + int(uncertainty_head)
        self.fuse = nn.Sequential(
            ConvNormReLU(features + cues, _FUSION_CHANNELS), ConvNormReLU(_FUSION_CHANNELS, _REFINE_CHANNELS)
        )
        correction = nn.Conv2d(_REFINE_CHANNELS, out_channels, 1, bias=False)
        # Near zero but not zero: gradients reach the layers below from the first step.
        nn.init.normal_(correction.weight, std=1e-3)
        self.refine = nn.Sequential(
            ConvNormReLU(_REFINE_CHANNELS + cues + in_channels, _REFINE_CHANNELS),
            ConvNormReLU(_REFINE_CHANNELS, _REFINE_CHANNELS),
            correction,
        )

    # `Union`, because TorchScript reads this annotation.
    def forward(self, x: Tensor) -> Union[Tensor, dict[str, Tensor]]:  # noqa: UP007
        """Segment a batch of images.

        Args:
            x: images, ``(B, in_channels, H, W)``, float, of any size from 33 x 33.

        Returns:
            In evaluation mode and in TorchScript the final logits ``(B, out_channels, H, W)`` alone. In
            training mode a dictionary of maps at the image's size, all logits: ``logits`` (final) and ``region``
            (coarse), ``(B, out_channels, H, W)``, and, from the heads there are, ``boundary`` and ``uncertainty``,
            ``(B, 1, H, W)``.

        Raises:
            InputError: the height or the width is below 33.
        """
        if torch.jit.is_scripting() or not self.training:
            return self._outputs(x)["logits"]
        outputs = self._outputs(x)
        del outputs["gate"]
        return outputs

    def predict_maps(self, x: Tensor) -> dict[str, Tensor]:
        """Segment a batch of images and tell how.

        Args:
            x: images, ``(B, in_channels, H, W)``, float, of any size from 33 x 33.

        Returns:
            ``logits`` ``(B, out_channels, H, W)``; ``gate``, weights of the pyramid's branches in the order of
            ``branch_names``, ``(B, 5)``; and, from the heads there are, ``boundary`` and ``uncertainty``,
            probabilities in [0, 1], ``(B, 1, H, W)``.

        Raises:
            InputError: the height or the width is below 33.
        """
        outputs = self._outputs(x)
        maps = {"logits": outputs["logits"], "gate": outputs["gate"]}
        for cue in ("boundary", "uncertainty"):
            if cue in outputs:
                maps[cue] = outputs[cue].sigmoid()
        return maps

    def _outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Every output, as logits at the image's size, and the gate weights."""
        check_minimum_size(x, self.minimum_size)
        features = self.encoder(x)
        context, gate = self.aspp(features["high"])
        context = self.context(context)
        region = self.region(context)

        detail = self.detail(features["low"])
        context = resize_to_input(context, detail)
        region = resize_to_input(region, detail)
        outputs = {"region": region}
        # as foreground_logits of utils.modes, whose types TorchScript does not know
        lesion = region[:, 1:] - region[:, :1] if region.shape[1] == 2 else region
        cues = [lesion]
        if self.boundary is not None:
            seen = context.detach() if self.detach_boundary else context
            outputs["boundary"] = self.boundary(torch.cat([detail, seen], dim=1))
            cues.append(outputs["boundary"])
        if self.uncertainty is not None:
            observed = torch.cat([detail, context, lesion.sigmoid()], dim=1).detach()
            outputs["uncertainty"] = self.uncertainty(observed)
            cues.append(outputs["uncertainty"])
        for name in list(outputs.keys()):
            outputs[name] = resize_to_input(outputs[name], x)

        cue = torch.cat(cues, dim=1).detach()
        fused = resize_to_input(self.fuse(torch.cat([detail, context, cue.sigmoid()], dim=1)), x)
        correction = self.refine(torch.cat([fused, resize_to_input(cue, x).sigmoid(), x], dim=1))
        outputs["logits"] = outputs["region"] + correction
        outputs["gate"] = gate
        return outputs

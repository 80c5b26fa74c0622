"""Export of a promptable network to ONNX, for clicks outside Python: image encoder and decoder apart."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from dermaseg_monai.sam.network import SamNetwork
from dermaseg_monai.sam.session import PromptSession
from dermaseg_monai.utils.files import atomic_path

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
"""The two files."""

_OPSET = 17


class OnnxDecoder(nn.Module):
    """Prompt encoder and mask decoder with the inputs that segment-anything's own ONNX decoder has.

    Points come with a label each: 1 on the lesion, 0 beside it, 2 and 3 for a box's top left and bottom right corner,
    -1 for no point. Without a box, one point of label -1 must be among them.

    Args:
        network: the whole network.
    """

    def __init__(self, network: SamNetwork) -> None:
        super().__init__()
        self.prompt_encoder = network.prompt_encoder
        self.mask_decoder = network.mask_decoder
        self.best_of_three = bool(network.multimask)

    def forward(
        self, embedding: Tensor, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Segment one embedded image.

        Args:
            embedding: ``(1, C, h, w)``.
            points: ``(1, k, 2)``: x, y in pixels of the input.
            labels: float ``(1, k)``.
            mask: ``(1, 1, 4h, 4w)``: logits of a mask to set out from.
            has_mask: ``(1,)``: 1 where ``mask`` counts, 0 where it does not.

        Returns:
            Logits ``(1, 1, 4h, 4w)``, and the intersection over union that the decoder expects of them, ``(1,)``.
        """
        encoder = self.prompt_encoder
        positions = encoder.pe_layer._pe_encoding(points / encoder.input_image_size[0])
        learnt = [encoder.not_a_point_embed.weight, *(entry.weight for entry in encoder.point_embeddings)]
        sparse = positions * (labels != -1)[..., None]
        for label, embedded in enumerate(learnt, start=-1):
            sparse = sparse + embedded * (labels == label)[..., None]
        share = has_mask.reshape(1, 1, 1, 1)
        none = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = share * encoder.mask_downscaling(mask) + (1 - share) * none
        logits, quality = self.mask_decoder.predict_masks(
            image_embeddings=embedding,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense.expand_as(embedding),
        )
        if self.best_of_three:
            best = 1 + quality[:, 1:].argmax(dim=1)
            return logits[:, best[0]][:, None], quality[:, best[0]]
        return logits[:, :1], quality[:, 0]


def export_onnx(
    output: str | os.PathLike[str], bundle: str | os.PathLike[str] | PromptSession = "lesion_mobile_sam"
) -> tuple[Path, Path]:
    """Write a promptable bundle's image encoder and its decoder as ONNX files.

    ``encoder.onnx`` takes ``image``, float32 ``(1, 3, S, S)`` as the bundle's preprocessing makes it, and gives
    ``embedding``. ``decoder.onnx`` takes what :class:`OnnxDecoder` takes, for any number of points, and gives
    ``logits`` and ``quality``.

    Args:
        output: the folder of both files.
        bundle: name or folder of the bundle, with weights; or a session of it.

    Returns:
        The paths of encoder and decoder.

    Raises:
        InputError: the bundle is unknown, takes no prompts or has no weights, or the folder cannot be written.
    """
    session = bundle if isinstance(bundle, PromptSession) else PromptSession.of_bundle(bundle, device="cpu")
    network = session.network
    side, encoder = network.image_size, network.prompt_encoder
    image = torch.zeros(1, 3, side, side)
    embedding = torch.zeros(1, encoder.embed_dim, *encoder.image_embedding_size)
    points = torch.tensor([[[side / 2, side / 2], [0.0, 0.0]]])
    mask = torch.zeros(1, 1, *encoder.mask_input_size)
    prompted = (embedding, points, torch.tensor([[1.0, -1.0]]), mask, torch.zeros(1))
    paths = Path(output) / ENCODER, Path(output) / DECODER
    _export(network.image_encoder, (image,), ["image"], ["embedding"], {}, paths[0])
    names = ["embedding", "points", "labels", "mask", "has_mask"]
    several = {"points": {1: "count"}, "labels": {1: "count"}}
    _export(OnnxDecoder(network).eval(), prompted, names, ["logits", "quality"], several, paths[1])
    return paths


def _export(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, dict[int, str]],
    path: Path,
) -> None:
    with warnings.catch_warnings(), atomic_path(path) as temporary, torch.no_grad():
        # the tracer warns of shapes that it takes for constants, which they are
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            str(temporary),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=dynamic,
            opset_version=_OPSET,
            dynamo=False,
        )

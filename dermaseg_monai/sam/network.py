"""SAM as one module: image and prompts to logits, with the parts in reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from dermaseg_monai.sam.architecture import build_sam, published_sam
from dermaseg_monai.sam.prompt import Prompt, input_prompts, stacked
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

Prompted = Mapping[str, torch.Tensor]
"""Embeddings and prompts of one kind as tensors: the arguments of :meth:`SamNetwork.decode_tensors`."""


class SamNetwork(nn.Module):
    """SAM, MedSAM or MobileSAM.

    SAM and MedSAM differ in weights and preprocessing alone, MobileSAM has another image encoder. The state dict has
    the keys of the official checkpoints, apart from the encoder of MobileSAM, which has timm's. Prompts are in
    pixels of the network's input, measured from its top left corner.

    Args:
        architecture: "vit_b", "vit_l", "vit_h", "tiny_vit" (MobileSAM), or a dictionary of
            :func:`~dermaseg_monai.sam.architecture.build_sam`'s arguments.
        multimask: let the decoder propose three masks and take the one whose intersection over union it predicts
            to be highest (True), or propose one (False). None: three for prompts that are ambiguous, a single
            point without a box, and one for all others, as SAM was trained.

    Raises:
        InputError: the architecture is unknown.

    Reference: Kirillov et al., "Segment Anything", ICCV 2023. arXiv:2304.02643; Ma et al., "Segment anything in
        medical images", Nature Communications 2024. arXiv:2304.12306; Zhang et al., "Faster Segment Anything", 2023.
        arXiv:2306.14289
    """

    def __init__(
        self, architecture: str | Mapping[str, Any] = "vit_b", multimask: bool | None = None
    ) -> None:
        super().__init__()
        sam = published_sam(architecture) if isinstance(architecture, str) else build_sam(**architecture)
        self.image_encoder = sam.image_encoder
        self.prompt_encoder = sam.prompt_encoder
        self.mask_decoder = sam.mask_decoder
        self.multimask = multimask

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.image_encoder.img_size

    @property
    def mask_factor(self) -> int:
        """How many pixels of the input one pixel of the decoder's masks covers, along each side."""
        return self.image_size // (4 * self.prompt_encoder.image_embedding_size[0])

    def forward(
        self, image: torch.Tensor | Prompted, prompts: Sequence[Sequence[Prompt]] | None = None
    ) -> torch.Tensor:
        """Segment images.

        Args:
            image: preprocessed images ``(B, 3, S, S)``, S being :attr:`image_size`; or cached embeddings with
                their prompts, which give logits at the decoder's own resolution.
            prompts: the prompts of each image, in pixels of the input, a list for each. None: those that travel
                in the ``meta`` of a batch of one; where there are none, the box around the whole input.

        Returns:
            Logits ``(B, 1, S, S)``; of several prompts of an image their maximum, the union of their masks.

        Raises:
            InputError: the images are of another size, or not as many as the lists of prompts.
        """
        if isinstance(image, Mapping):
            return self.decode_tensors(**image)
        if prompts is None:
            prompts = [input_prompts(image)] * len(image)
        images = plain(image)
        logits = self.decode(self.encode(images), prompts)
        return F.interpolate(
            logits, size=(self.image_size, self.image_size), mode="bilinear", align_corners=False
        )

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images, the one expensive step, which no prompt enters.

        Args:
            images: preprocessed, ``(B, 3, S, S)``.

        Returns:
            Embeddings ``(B, C, S / 16, S / 16)``; C is 256 in the published sizes.

        Raises:
            InputError: the images are of another size.
        """
        expected = (3, self.image_size, self.image_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise InputError(
                f"the images have shape {tuple(images.shape)}, but this network takes (B, {expected[0]}, "
                f"{expected[1]}, {expected[2]}); preprocess photos to that size."
            )
        return self.image_encoder(images)

    def decode(self, embeddings: torch.Tensor, prompts: Sequence[Sequence[Prompt]]) -> torch.Tensor:
        """Segment embedded images.

        Args:
            embeddings: ``(B, C, h, w)``, of :meth:`encode`, in any floating type.
            prompts: at least one prompt for each image, in pixels of the input.

        Returns:
            Logits ``(B, 1, 4h, 4w)``; of several prompts of an image their maximum.

        Raises:
            InputError: the images and the lists of prompts differ in number, or a list is empty.
        """
        if len(prompts) != len(embeddings) or not all(prompts):
            raise InputError(
                f"{len(embeddings)} images came with {len(prompts)} lists of prompts; give each at least one prompt."
            )
        # prompts of one kind and number of points pass through the decoder together
        groups: dict[tuple[bool, int], list[tuple[int, Prompt]]] = {}
        for image, together in enumerate(prompts):
            for prompt in together:
                groups.setdefault((prompt.box is None, len(prompt.points)), []).append((image, prompt))
        union: list[torch.Tensor | None] = [None] * len(embeddings)
        for group in groups.values():
            index = torch.tensor([image for image, _ in group], device=embeddings.device)
            boxes, points, labels = stacked([prompt for _, prompt in group], embeddings.device)
            logits = self.decode_tensors(embeddings[index], boxes, points, labels)
            for (image, _), one in zip(group, logits, strict=True):
                earlier = union[image]
                union[image] = one if earlier is None else torch.maximum(earlier, one)
        return torch.stack([one for one in union if one is not None])

    def decode_tensors(
        self,
        embeddings: torch.Tensor,
        boxes: torch.Tensor | None = None,
        points: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        masks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Segment embedded images by prompts of one kind, one for each.

        Args:
            embeddings: ``(B, C, h, w)``, in any floating type.
            boxes: ``(B, 4)``: left, top, right, bottom in pixels of the input.
            points: ``(B, k, 2)``: x, y in pixels of the input.
            labels: ``(B, k)``: 1 on the lesion, 0 beside it.
            masks: ``(B, 1, 4h, 4w)``: logits of a mask to set out from, at the decoder's resolution.

        Returns:
            Logits ``(B, 1, 4h, 4w)``.
        """
        sparse, dense, position = self._embedded_prompts(boxes, points, labels, masks)
        several = self.multimask
        if several is None:
            several = boxes is None and masks is None and points is not None and points.shape[1] == 1
        # The package's decoder pairs one image with many prompts: it repeats the image and adds the dense prompt.
        # An image of zeros whose dense prompt is the embedding makes it take pairs instead, exactly.
        logits, quality = self.mask_decoder(
            image_embeddings=torch.zeros_like(dense[:1]),
            image_pe=position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=embeddings.to(dense.dtype) + dense,
            multimask_output=several,
        )
        if not several:
            return logits
        best = quality.argmax(dim=1)
        return logits[torch.arange(len(logits), device=logits.device), best][:, None]

    def _embedded_prompts(
        self,
        boxes: torch.Tensor | None,
        points: torch.Tensor | None,
        labels: torch.Tensor | None,
        masks: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device = self.prompt_encoder.no_mask_embed.weight.device.type
        # bfloat16 would move coordinates by several pixels
        with torch.autocast(device, enabled=False):
            # the package takes indices of pixels and adds the half that leads to their centres
            sparse, dense = self.prompt_encoder(
                points=None if points is None or labels is None else (points.float() - 0.5, labels),
                boxes=None if boxes is None else boxes.float() - 0.5,
                masks=None if masks is None else masks.float(),
            )
            return sparse, dense, self.prompt_encoder.get_dense_pe()

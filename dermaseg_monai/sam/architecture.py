"""SAM of any size, and MobileSAM, from the ``segment-anything`` package's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from dermaseg_monai.sam.tiny_vit import TinyViTEncoder
from dermaseg_monai.utils.errors import InputError

MOBILE = "tiny_vit"
"""MobileSAM's architecture: a TinyViT-5M as the image encoder."""

ARCHITECTURES = ("vit_b", "vit_l", "vit_h", MOBILE)
"""The published sizes."""


def build_sam(
    image_size: int = 1024,
    patch_size: int = 16,
    encoder_dim: int = 768,
    encoder_depth: int = 12,
    encoder_heads: int = 12,
    global_blocks: Sequence[int] = (2, 5, 8, 11),
    window_size: int = 14,
    prompt_dim: int = 256,
    decoder_depth: int = 2,
    decoder_heads: int = 8,
    decoder_mlp_dim: int = 2048,
) -> Sam:
    """Build SAM of a size of one's own; the defaults are ViT-B.

    Args:
        image_size: side of the square input in pixels, a multiple of ``patch_size``.
        patch_size: side of a patch in pixels.
        encoder_dim: channels of the image encoder.
        encoder_depth: blocks of the image encoder.
        encoder_heads: attention heads of the image encoder.
        global_blocks: numbers of the encoder's blocks that attend to the whole image.
        window_size: side of the windows that the other blocks attend to, in patches.
        prompt_dim: channels of embeddings and prompts, a multiple of 8.
        decoder_depth: blocks of the mask decoder.
        decoder_heads: attention heads of the mask decoder.
        decoder_mlp_dim: hidden channels of the mask decoder's blocks.

    Returns:
        The network with random weights.

    Raises:
        InputError: ``image_size`` is no multiple of ``patch_size``, or ``prompt_dim`` none of 8.
    """
    if image_size % patch_size or prompt_dim % 8:
        raise InputError(
            f"image_size {image_size} must be a multiple of patch_size {patch_size}, and prompt_dim {prompt_dim} of 8."
        )
    encoder = ImageEncoderViT(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=encoder_dim,
        depth=encoder_depth,
        num_heads=encoder_heads,
        out_chans=prompt_dim,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window_size,
        global_attn_indexes=tuple(global_blocks),
    )
    side = image_size // patch_size
    return _sam(encoder, side, prompt_dim, decoder_depth, decoder_heads, decoder_mlp_dim)


def published_sam(architecture: str) -> Sam:
    """Build SAM of a published size with random weights.

    Args:
        architecture: "vit_b", "vit_l" or "vit_h", or "tiny_vit" for MobileSAM.

    Returns:
        What the package's own builder makes; of MobileSAM, its prompt encoder and mask decoder behind a
        :class:`~dermaseg_monai.sam.tiny_vit.TinyViTEncoder`.

    Raises:
        InputError: there is no such size.
    """
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"the architecture is '{architecture}', but it must be one of {', '.join(ARCHITECTURES)}, or a "
            "dictionary of build_sam's arguments."
        )
    if architecture == MOBILE:
        return _sam(TinyViTEncoder(), side=64, prompt_dim=256, depth=2, heads=8, mlp_dim=2048)
    return sam_model_registry[architecture]()


def _sam(encoder: torch.nn.Module, side: int, prompt_dim: int, depth: int, heads: int, mlp_dim: int) -> Sam:
    """SAM's prompt encoder and mask decoder behind an image encoder whose embeddings have ``side`` places a side."""
    return Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=prompt_dim,
            image_embedding_size=(side, side),
            input_image_size=(encoder.img_size, encoder.img_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=prompt_dim,
            transformer=TwoWayTransformer(
                depth=depth, embedding_dim=prompt_dim, mlp_dim=mlp_dim, num_heads=heads
            ),
        ),
    )

"""MobileSAM's image encoder, and the names of its published tensors."""

from __future__ import annotations

import torch

from dermaseg_monai.sam import SamNetwork
from dermaseg_monai.sam.tiny_vit import TinyViTEncoder, with_timm_names


def test_embeds_at_stride_16() -> None:
    encoder = TinyViTEncoder(image_size=96)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 5_743_892
    assert encoder(torch.zeros(2, 3, 96, 96)).shape == (2, 256, 6, 6)


def test_stays_in_evaluation_mode() -> None:
    network = SamNetwork("tiny_vit").train()
    assert network.mask_decoder.training
    assert not any(module.training for module in network.image_encoder.modules())


@torch.no_grad()
def test_loaded_attention_biases_count_at_once() -> None:
    encoder, image = TinyViTEncoder(64), torch.randn(1, 3, 64, 64)
    before = encoder(image)  # keeps attention biases of 0
    state = encoder.state_dict()
    generator = torch.Generator().manual_seed(0)
    state |= {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in state.items()
        if "attention_biases" in name
    }
    encoder.load_state_dict(state)
    fresh = TinyViTEncoder(64)
    fresh.load_state_dict(state)
    assert not torch.allclose(encoder(image), before)
    torch.testing.assert_close(encoder(image), fresh(image))


def test_names_of_the_mobile_sam_package() -> None:
    pairs = {
        "image_encoder.patch_embed.seq.0.c.weight": "image_encoder.features.patch_embed.conv1.conv.weight",
        "image_encoder.patch_embed.seq.2.bn.bias": "image_encoder.features.patch_embed.conv2.bn.bias",
        "image_encoder.layers.0.blocks.1.conv2.c.weight": "image_encoder.features.stages_0.blocks.1.conv2.conv.weight",
        "image_encoder.layers.2.downsample.conv3.bn.weight": (
            "image_encoder.features.stages_3.downsample.conv3.bn.weight"
        ),
        "image_encoder.layers.3.blocks.1.attn.attention_biases": (
            "image_encoder.features.stages_3.blocks.1.attn.attention_biases"
        ),
        "image_encoder.layers.1.blocks.0.local_conv.c.weight": (
            "image_encoder.features.stages_1.blocks.0.local_conv.conv.weight"
        ),
        "image_encoder.neck.0.weight": "image_encoder.neck.0.weight",
        "mask_decoder.iou_token.weight": "mask_decoder.iou_token.weight",
    }
    values = {name: torch.tensor(float(number)) for number, name in enumerate(pairs)}
    classifier = {"image_encoder.head.weight": torch.zeros(1), "image_encoder.norm_head.bias": torch.zeros(1)}
    renamed = with_timm_names(values | classifier)
    assert renamed == {pairs[name]: value for name, value in values.items()}
    assert with_timm_names(renamed) == renamed
    assert set(pairs.values()) <= set(SamNetwork("tiny_vit").state_dict())

"""The bundles that segment the dermoscopic attributes: data, with no torch behind it."""

from __future__ import annotations

from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.recipes import DEEPLAB, FROM_IMAGENET, GATES, IMAGENET, ISIC, MOBILENET, UNET

_BEST_THRESHOLDS = "weights chosen by macro Jaccard at each attribute's best threshold"
_ATTRIBUTE_RECIPE = (
    "0.5 BCE + 0.5 Dice over the batch, first probabilities those of the attributes' pixel shares, images with rare "
    "attributes drawn more often, full frames, AdamW with weight decay 0.01, one cycle up to {rate}, batch 16, 40 "
    f"epochs, gradients clipped, weights averaged exponentially, {_BEST_THRESHOLDS}"
)
_CROP_SOURCE = (
    "BCE weighted by inverse frequency alone, random 128 x 128 crops after the dark border is removed, flips and "
    f"colour and no other augmentation, {FROM_IMAGENET}, masks opened (erosion, then dilation)"
)
_CROP_OWN = (
    "AdamW with weight decay 0.01, one cycle up to 3e-4, batch 32, 40 epochs, gradients clipped, the size of the "
    f"opening, {_BEST_THRESHOLDS}"
)
_CROPS = {
    "crop_lens": True,
    "augment#rotate": 0,
    "augment#scale": [1.0, 1.0],
    "augment#shift": 0.0,
    "augment#crop_size": [128, 128],
    "rare_below": 0.0,
    # the loss weighs present and absent pixels alike, for which one half is the prior
    "attribute_prior": False,
    "average": None,
    "batch_size": 32,
    "learning_rate": 3e-4,
    "loss": "@losses#weighted_bce",
}
# a pixel at the network's size
_OPENED = {"opening": 0.003}

ATTRIBUTE_BUNDLES: tuple[Bundle, ...] = (
    Bundle(
        name="attribute_unet",
        title="U-Net for dermoscopic attributes",
        summary="The classic U-Net with batch norm and five logits, one for each attribute.",
        network={
            "_target_": "dermaseg_monai.networks.UNet",
            "in_channels": 3,
            "out_channels": 5,
            "features": [64, 128, 256, 512, 1024],
        },
        parameters=31_037_893,
        own_recipe=_ATTRIBUTE_RECIPE.format(rate="5e-4"),
        references=(UNET, *ISIC),
        mode="multilabel",
    ),
    Bundle(
        name="attribute_residual_unet",
        title="Residual U-Net for dermoscopic attributes",
        summary="A U-Net of pre-activation residual units in encoder and decoder, with five logits.",
        network={
            "_target_": "dermaseg_monai.networks.ResidualUNet",
            "in_channels": 3,
            "out_channels": 5,
            "features": [64, 128, 256, 512],
        },
        parameters=8_219_845,
        own_recipe=_ATTRIBUTE_RECIPE.format(rate="5e-4"),
        references=(
            "Zhang, Liu and Wang. Road Extraction by Deep Residual U-Net. IEEE GRSL 15(5), 2018. arXiv:1711.10684",
            *ISIC,
        ),
        mode="multilabel",
    ),
    Bundle(
        name="attribute_attention_unet",
        title="Attention U-Net for dermoscopic attributes",
        summary="The U-Net with additive attention gates on its skips and five logits.",
        network={
            "_target_": "dermaseg_monai.networks.AttentionUNet",
            "in_channels": 3,
            "out_channels": 5,
            "features": [64, 128, 256, 512, 1024],
        },
        parameters=32_434_377,
        own_recipe=_ATTRIBUTE_RECIPE.format(rate="5e-4"),
        references=(GATES, *ISIC),
        mode="multilabel",
    ),
    Bundle(
        name="attribute_convnext_unet",
        title="ConvNeXt U-Net for dermoscopic attributes",
        summary="A ConvNeXt-Tiny encoder under a decoder of residual units and attention gates, with five logits.",
        network={"_target_": "dermaseg_monai.networks.ConvNeXtUNet", "in_channels": 3, "out_channels": 5},
        parameters=33_066_040,
        source_recipe=FROM_IMAGENET,
        own_recipe=_ATTRIBUTE_RECIPE.format(rate="2e-4"),
        references=("Liu et al. A ConvNet for the 2020s. CVPR 2022. arXiv:2201.03545", GATES, *ISIC),
        mode="multilabel",
        encoder_weights=IMAGENET,
        published="test Dice 0.3213, Jaccard 0.2052; validation 0.2875, 0.1829",
        train={"learning_rate": 2e-4},
    ),
    Bundle(
        name="attribute_mobilenetv2_unet",
        title="MobileNetV2 U-Net for dermoscopic attributes",
        summary="The attributes' flagship: a MobileNetV2 encoder under a light U-Net decoder, fast on a CPU.",
        network={
            "_target_": "dermaseg_monai.networks.MobileNetV2UNet",
            "in_channels": 3,
            "out_channels": 5,
        },
        parameters=3_328_597,
        own_recipe=_ATTRIBUTE_RECIPE.format(rate="1e-3") + f", {FROM_IMAGENET}",
        references=(
            MOBILENET,
            UNET,
            *ISIC,
        ),
        mode="multilabel",
        encoder_weights=IMAGENET,
        train={"learning_rate": 1e-3},
        scores={"micro_jaccard": 0.3440, "macro_jaccard": 0.1794, "macro_dice": 0.2820, "mean_auc": 0.9433},
        limits=(
            "The weights are those after 33 of the recipe's 40 epochs, trained on for 12 epochs up to 5e-4 twice, with "
            "Dice and with Jaccard beside the cross-entropy, and averaged. Milia-like cysts, a few pixels wide at this "
            "size, are hardly found as areas (Jaccard 0.011), though their probabilities rank pixels well (AUC 0.878).",
        ),
    ),
    Bundle(
        name="attribute_resnet101_aspp_unet",
        title="ResNet-101 U-Net with ASPP for dermoscopic attributes",
        summary="A ResNet-101 encoder, an atrous pyramid (dilations 2, 3, 4) on its last volume, five logits.",
        network={
            "_target_": "dermaseg_monai.networks.ResNet101ASPPUNet",
            "in_channels": 3,
            "out_channels": 5,
        },
        parameters=62_919_509,
        source_recipe=_CROP_SOURCE,
        own_recipe=_CROP_OWN,
        references=(
            "He et al. Deep Residual Learning for Image Recognition. CVPR 2016. arXiv:1512.03385",
            DEEPLAB,
            *ISIC,
        ),
        mode="multilabel",
        encoder_weights=IMAGENET,
        train=_CROPS,
        evaluate=_OPENED,
        inference={"crop_lens": True, **_OPENED},
    ),
    Bundle(
        name="attribute_inception_aspp_unet",
        title="Inception v3 U-Net with ASPP for dermoscopic attributes",
        summary="An Inception v3 encoder, an atrous pyramid (dilations 2, 3, 4) on its last volume, five logits.",
        network={
            "_target_": "dermaseg_monai.networks.InceptionASPPUNet",
            "in_channels": 3,
            "out_channels": 5,
        },
        parameters=41_320_181,
        source_recipe=_CROP_SOURCE,
        own_recipe=_CROP_OWN,
        references=(
            "Szegedy et al. Rethinking the Inception Architecture for Computer Vision. CVPR 2016. arXiv:1512.00567",
            DEEPLAB,
            *ISIC,
        ),
        mode="multilabel",
        encoder_weights=IMAGENET,
        published="mean Jaccard 0.0896, mean AUC 0.6986",
        train=_CROPS,
        evaluate=_OPENED,
        inference={"crop_lens": True, **_OPENED},
    ),
)

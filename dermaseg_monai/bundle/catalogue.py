"""Every bundle of the collection: data, with no torch behind it."""

from __future__ import annotations

from typing import Any

from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.utils.errors import InputError

_ISIC = (
    "Codella et al. Skin Lesion Analysis Toward Melanoma Detection 2018. arXiv:1902.03368",
    "Tschandl, Rosendahl and Kittler. The HAM10000 dataset. Scientific Data 5, 2018. doi:10.1038/sdata.2018.161",
)

# by its number: DEFAULT is another one with each release of torchvision
_IMAGENET = "IMAGENET1K_V1"

_ONE_CYCLE = {"lr_scheduler": "@schedules#one_cycle"}


def _score(metric: str) -> dict[str, Any]:
    return {
        metric: {"_target_": "dermaseg_monai.handlers.SegmentationHandler", "metric": metric, "mode": "@mode"}
    }


# chosen by mean Jaccard: which images pass 0.65 is left to chance by far more than how well they overlap
_AVERAGED = {
    "average": {"_target_": "dermaseg_monai.handlers.WeightAverage", "network": "@network", "decay": 0.998},
    "validate#key_metric": _score("jaccard"),
    "~validate#additional_metrics#jaccard": None,
    "+validate#additional_metrics": _score("threshold_jaccard"),
}

_CONSTANT_RATE = {"lr_scheduler": "@schedules#constant"}

_NO_AUGMENTATION = {
    "augment#flip": False,
    "augment#rotate": 0,
    "augment#scale": [1.0, 1.0],
    "augment#shift": 0.0,
    "augment#brightness": 0.0,
    "augment#contrast": 0.0,
    "augment#saturation": 0.0,
}


def _sum_of(*losses: dict[str, Any]) -> dict[str, Any]:
    return {"_target_": "dermaseg_monai.losses.WeightedSum", "losses": list(losses)}


_CE = {"_target_": "dermaseg_monai.losses.CrossEntropyLoss", "mode": "@mode"}
_DICE = {"_target_": "dermaseg_monai.losses.DiceLoss", "mode": "@mode"}
_CE_DICE = {"loss": _sum_of(_CE, _DICE)}

_USUAL = "AdamW at 1e-4 with weight decay 1e-4, cosine annealing, batch 24, 20 epochs"
_DICE_BCE = "0.5 Dice + 0.5 BCE"
_RANGES = "the ranges of the augmentation"

# averaged views and ensembles have no maps of their own: their uncertainty is the entropy of the mean
_OWN_MAPS = "$inferers.FlipInferer(@flips, @mode) if @flips or @ensemble else inferers.MapInferer()"

_DEEPLAB = "Chen et al. Rethinking Atrous Convolution for Semantic Image Segmentation. 2017. arXiv:1706.05587"
_UNET = (
    "Ronneberger, Fischer and Brox. U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015. "
    "arXiv:1505.04597"
)

_GATES = "Oktay et al. Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018. arXiv:1804.03999"

_BEST_THRESHOLDS = "weights chosen by macro Jaccard at each attribute's best threshold"
_ATTRIBUTE_RECIPE = (
    "0.5 BCE + 0.5 Dice over the batch, first probabilities those of the attributes' pixel shares, images with rare "
    "attributes drawn more often, full frames, AdamW with weight decay 0.01, one cycle up to {rate}, batch 16, 40 "
    f"epochs, gradients clipped, weights averaged exponentially, {_BEST_THRESHOLDS}"
)
_FROM_IMAGENET = "encoder from ImageNet"
_CROP_SOURCE = (
    "BCE weighted by inverse frequency alone, random 128 x 128 crops after the dark border is removed, flips and "
    f"colour and no other augmentation, {_FROM_IMAGENET}, masks opened (erosion, then dilation)"
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

_SAM = "Kirillov et al. Segment Anything. ICCV 2023. arXiv:2304.02643"
_PROMPTABLE = {
    "_target_": "dermaseg_monai.sam.SamNetwork",
    "architecture": "$sam.get_checkpoint(@checkpoint).architecture",
}
_FINE_TUNING_SOURCE = "published weights to begin with"
_FINE_TUNING_OWN = (
    "0.5 Dice + 0.5 BCE on the mask decoder, the image encoder frozen and its embeddings kept on disk, the true box "
    "with each side shifted by up to 10 %, AdamW at 1e-4 with weight decay 1e-4, cosine annealing, batch 8, 20 epochs, "
    "weights chosen by the score with predicted boxes"
)

_LESIONS: tuple[Bundle, ...] = (
    Bundle(
        name="lesion_unet",
        title="U-Net for lesion boundaries",
        summary="The classic U-Net with batch norm and five levels of 64 to 1,024 channels.",
        network={
            "_target_": "dermaseg_monai.networks.UNet",
            "in_channels": 3,
            "out_channels": 1,
            "features": [64, 128, 256, 512, 1024],
        },
        parameters=31_037_633,
        source_recipe=f"{_DICE_BCE}, {_USUAL}",
        own_recipe=_RANGES,
        references=(_UNET, *_ISIC),
        published="test Dice 0.8589, Jaccard 0.7818, accuracy 0.9484 (random 70/15/15 split of these images)",
    ),
    Bundle(
        name="lesion_unet_compact",
        title="Compact U-Net for lesion boundaries",
        summary="A U-Net of three levels (64, 128, 256 channels) with dropout and bilinear upsampling, for 64 px.",
        network={
            "_target_": "dermaseg_monai.networks.UNet",
            "in_channels": 3,
            "out_channels": 1,
            "features": [64, 128, 256],
            "dropout": 0.1,
            "upsampling": "bilinear",
        },
        parameters=1_884_417,
        source_recipe="BCE with logits, Adam at 1e-4 without weight decay, batch 40, 20 epochs, no augmentation",
        own_recipe="weights of the epoch that validates best",
        references=(_UNET, *_ISIC),
        image_size=(64, 64),
        published="validation Jaccard 0.6954; mean Jaccard of five test images 0.82",
        train={
            "batch_size": 40,
            "loss": {"_target_": "dermaseg_monai.losses.CrossEntropyLoss", "mode": "@mode"},
            "optimizer#_target_": "torch.optim.Adam",
            "optimizer#weight_decay": 0.0,
            **_CONSTANT_RATE,
            **_NO_AUGMENTATION,
        },
    ),
    Bundle(
        name="lesion_attention_unet",
        title="Attention U-Net for lesion boundaries",
        summary="The U-Net with additive attention gates on its skips.",
        network={
            "_target_": "dermaseg_monai.networks.AttentionUNet",
            "in_channels": 3,
            "out_channels": 2,
            "features": [64, 128, 256, 512, 1024],
        },
        parameters=32_434_182,
        source_recipe="CE + Dice",
        own_recipe=f"{_USUAL}, {_RANGES}",
        references=(_GATES, *_ISIC),
        mode="two_class",
        train=_CE_DICE,
    ),
    Bundle(
        name="lesion_segnet",
        title="SegNet for lesion boundaries",
        summary="A VGG16-style encoder with batch norm and a decoder that unpools by the encoder's pooling indices.",
        network={"_target_": "dermaseg_monai.networks.SegNet", "in_channels": 3, "out_channels": 2},
        parameters=29_440_450,
        source_recipe="CE + Dice",
        own_recipe=f"{_USUAL}, {_RANGES}",
        references=(
            "Badrinarayanan, Kendall and Cipolla. SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image "
            "Segmentation. IEEE TPAMI 39(12), 2017. arXiv:1511.00561",
            *_ISIC,
        ),
        mode="two_class",
        train=_CE_DICE,
    ),
    Bundle(
        name="lesion_unetpp",
        title="U-Net++ for lesion boundaries",
        summary="The U-Net with nested dense skips; its output can be pruned to fewer levels for faster inference.",
        network={
            "_target_": "dermaseg_monai.networks.UNetPlusPlus",
            "in_channels": 3,
            "out_channels": 1,
            "features": [32, 64, 128, 256, 512],
        },
        parameters=9_159_681,
        source_recipe=f"{_DICE_BCE}, AdamW, cosine annealing, 20 epochs",
        own_recipe=f"a rate of 1e-4 and weight decay of 1e-4, batch 24, {_RANGES}",
        references=(
            "Zhou et al. UNet++: A Nested U-Net Architecture for Medical Image Segmentation. DLMIA 2018. "
            "arXiv:1807.10165",
            *_ISIC,
        ),
        published="test Dice 0.8608 ± 0.1674, Jaccard 0.7831 ± 0.1906, accuracy 0.9493 ± 0.0759",
        scores={"dice": 0.8480, "jaccard": 0.7607, "threshold_jaccard": 0.6740, "accuracy": 0.9492},
        limits=(
            "The weights are those after 15 of the recipe's 20 epochs, where the time of a lent GPU ended; the "
            "validation was still rising, by 0.002 Jaccard an epoch. The flagship is better by 0.074 Jaccard.",
        ),
    ),
    Bundle(
        name="lesion_deeplabv3",
        title="DeepLabV3 for lesion boundaries",
        summary="torchvision's DeepLabV3 on a dilated ResNet-50, two classes.",
        network={"_target_": "dermaseg_monai.networks.DeepLabV3", "in_channels": 3, "out_channels": 2},
        parameters=39_633_986,
        source_recipe=f"CE + Dice, {_FROM_IMAGENET}",
        own_recipe=f"AdamW at 1e-4 with weight decay 1e-4, cosine annealing, batch 16, 20 epochs, {_RANGES}",
        references=(_DEEPLAB, *_ISIC),
        mode="two_class",
        image_size=(320, 320),
        encoder_weights=_IMAGENET,
        published=(
            "validation Dice 0.8900, Jaccard 0.8134, threshold Jaccard 0.7598; test 0.8782, 0.7991, 0.7320"
        ),
        train={**_CE_DICE, "batch_size": 16},
    ),
    Bundle(
        name="lesion_ba_deeplabv3",
        title="Boundary-aware DeepLabV3 for lesion boundaries",
        summary=(
            "A dilated ResNet-50 with a dynamic ASPP, region, boundary and uncertainty heads and a decoder that "
            "refines the coarse mask with their cues at the image's full resolution."
        ),
        network={
            "_target_": "dermaseg_monai.networks.BADeepLabV3",
            "in_channels": 3,
            "out_channels": 2,
            "output_stride": 8,
            "boundary_head": True,
            "uncertainty_head": True,
            "detach_boundary": False,
        },
        parameters=40_418_985,
        source_recipe=f"contour-aware loss over CE + Tversky, a rate of 1e-3, {_FROM_IMAGENET}",
        own_recipe=f"AdamW with weight decay 1e-4, cosine annealing, batch 16, 20 epochs, {_RANGES}",
        references=(_DEEPLAB, *_ISIC),
        mode="two_class",
        image_size=(320, 320),
        encoder_weights=_IMAGENET,
        published="test Dice 0.8603, Jaccard 0.7707, threshold Jaccard 0.6978 (CE + Tversky, learning rate 1e-3)",
        train={
            "batch_size": 16,
            "learning_rate": 1e-3,
            "loss": {
                "_target_": "dermaseg_monai.losses.BoundaryAwareLoss",
                "overlap_loss": _sum_of(
                    _CE, {"_target_": "dermaseg_monai.losses.TverskyLoss", "mode": "@mode"}
                ),
            },
        },
        evaluate={"uncertainty": True, "validate#inferer": _OWN_MAPS},
        inference={"uncertainty": True, "inferer": _OWN_MAPS},
    ),
    Bundle(
        name="lesion_swin_unet_lite",
        title="Light Swin U-Net for lesion boundaries",
        summary="A U-shaped hierarchy of shifted-window transformer blocks of 48 to 384 channels.",
        network={"_target_": "dermaseg_monai.networks.SwinUNetLite", "in_channels": 3, "out_channels": 2},
        parameters=6_819_854,
        source_recipe="CE + Dice",
        own_recipe=f"{_USUAL}, {_RANGES}",
        references=(
            "Liu et al. Swin Transformer: Hierarchical Vision Transformer using Shifted Windows. ICCV 2021. "
            "arXiv:2103.14030",
            "Cao et al. Swin-Unet: Unet-like Pure Transformer for Medical Image Segmentation. 2021. arXiv:2105.05537",
            *_ISIC,
        ),
        mode="two_class",
        train=_CE_DICE,
    ),
    Bundle(
        name="lesion_segformer_lite",
        title="SegFormer-B0 for lesion boundaries",
        summary="A mix transformer of the smallest size with efficient attention, and an all-MLP decoder.",
        network={"_target_": "dermaseg_monai.networks.SegFormerLite", "in_channels": 3, "out_channels": 2},
        parameters=3_714_658,
        source_recipe="CE + Dice",
        own_recipe=f"{_USUAL}, {_RANGES}",
        references=(
            "Xie et al. SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers. "
            "NeurIPS 2021. arXiv:2105.15203",
            *_ISIC,
        ),
        mode="two_class",
        train=_CE_DICE,
    ),
    Bundle(
        name="lesion_transunet",
        title="TransUNet for lesion boundaries",
        summary="A ResNet-50 stem, a ViT-B/16 over its stride-16 map, and a cascaded upsampler with skips.",
        network={"_target_": "dermaseg_monai.networks.TransUNet", "in_channels": 3, "out_channels": 1},
        parameters=105_275_921,
        source_recipe=_DICE_BCE,
        own_recipe=f"all weights from nothing, {_USUAL}, {_RANGES}",
        references=(
            "Chen et al. TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation. 2021. "
            "arXiv:2102.04306",
            *_ISIC,
        ),
    ),
    Bundle(
        name="lesion_mobilenetv2_unet",
        title="MobileNetV2 U-Net for lesion boundaries",
        summary="The flagship: a MobileNetV2 encoder under a light U-Net decoder, fast on a CPU.",
        network={
            "_target_": "dermaseg_monai.networks.MobileNetV2UNet",
            "in_channels": 3,
            "out_channels": 1,
        },
        parameters=3_328_529,
        own_recipe=(
            f"{_DICE_BCE}, AdamW with weight decay 0.01, one cycle up to 1e-3, batch 16, 40 epochs, weights averaged "
            f"exponentially and chosen by mean Jaccard, {_FROM_IMAGENET}"
        ),
        references=(
            "Sandler et al. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018. arXiv:1801.04381",
            _UNET,
            *_ISIC,
        ),
        image_size=(192, 256),
        encoder_weights=_IMAGENET,
        train={
            "max_epochs": 40,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "augment#scale": [0.8, 1.25],
            "augment#hue": 0.02,
            "optimizer#weight_decay": 0.01,
            **_ONE_CYCLE,
            **_AVERAGED,
        },
        # both raise the mean Jaccard on the validation split
        evaluate={"largest_component": True, "fill_holes": True},
        inference={"largest_component": True, "fill_holes": True},
        scores={"dice": 0.9022, "jaccard": 0.8347, "threshold_jaccard": 0.7865, "accuracy": 0.9632},
        limits=(
            "Lesions that hardly differ from the skin in colour: in the quarter of the test photos with the least "
            "contrast the mean Jaccard is 0.719 and 29 % fail (Jaccard below 0.65), in the quarter with the most 0.915 "
            "and 1 %. Contrast decides more than anything else that was looked at.",
            "Basal cell carcinoma and actinic keratosis: 0.655 and 0.730, 41 % and 25 % fail, on 1,000 photos of "
            "HAM10000 it never saw (nevi 0.907 and 2 %, melanoma 0.873 and 7 %); faces 0.750, people of 70 and older "
            "0.809.",
            "Hair over more than 2 % of the skin, on the test photos: 0.789, 18 % fail; with less than 1 %, 0.863 and "
            "4 %.",
            "Skin that is not very light: lower scores on few photos (0.751 on 38 tan ones of the test section); dark "
            "skin is hardly in the data, so nothing is known of it.",
            "Sensor noise, on 98 validation photos whose Jaccard is 0.825 when clean: 0.743 with a standard deviation "
            "of 25 grey levels, 0.540 with 50. It was not trained on noise; this is its weakest side.",
            "Hair: 0.787 under 30 drawn hairs, 0.774 under 90.",
            "Blur of 2 % of the diagonal: 0.757; of 0.5 %, no clear change. JPEG at quality 5: 0.710; at 20, 0.813.",
            "Lesions far from the camera: 0.743 where the photo is reduced to half its size within the frame. Nearer "
            "ones are found better than those of the clean photos.",
            "Light half as bright, colour casts of up to 30 % and turns of up to 90 degrees change nothing that these "
            "photos could show; photos half as bright again, which cuts off the light skin, score 0.800.",
        ),
    ),
    Bundle(
        name="lesion_sam",
        title="SAM for lesion boundaries",
        summary=(
            "Segment Anything (ViT-B, or -L and -H by one id): an image encoder, and a decoder that turns boxes and "
            "points into a mask."
        ),
        network=_PROMPTABLE,
        parameters=93_735_472,
        source_recipe=_FINE_TUNING_SOURCE,
        own_recipe=_FINE_TUNING_OWN,
        references=(_SAM, *_ISIC),
        image_size=(1024, 1024),
        checkpoint="sam_vit_b",
        published="Dice 0.645 without fine-tuning, ViT-H with one true point, an oracle's prompt",
    ),
    Bundle(
        name="lesion_medsam",
        title="MedSAM for lesion boundaries",
        summary="SAM's ViT-B, fine-tuned by its authors on over 1.5 million medical image-mask pairs for box prompts.",
        network=_PROMPTABLE,
        parameters=93_735_472,
        source_recipe=_FINE_TUNING_SOURCE,
        own_recipe=_FINE_TUNING_OWN,
        references=(
            "Ma et al. Segment anything in medical images. Nature Communications 15, 2024. arXiv:2304.12306",
            _SAM,
            *_ISIC,
        ),
        image_size=(1024, 1024),
        checkpoint="medsam_vit_b",
        published="Dice 0.811 with a predicted box; 0.883 with the true box, an oracle's prompt",
    ),
    Bundle(
        name="lesion_mobile_sam",
        title="MobileSAM for lesion boundaries",
        summary=(
            "SAM with a TinyViT as its image encoder, small enough for clicks on a CPU: boxes and points to a mask."
        ),
        network=_PROMPTABLE,
        parameters=9_808_452,
        source_recipe=_FINE_TUNING_SOURCE,
        own_recipe=_FINE_TUNING_OWN,
        references=(
            "Zhang et al. Faster Segment Anything: Towards Lightweight SAM for Mobile Applications. 2023. "
            "arXiv:2306.14289",
            _SAM,
            *_ISIC,
        ),
        image_size=(1024, 1024),
        checkpoint="mobile_sam",
        weights_license="mobile_sam_license.txt",
        train={"start_from": "$sam.best_weights(@bundle_root + '/models')"},
    ),
)

_ATTRIBUTES: tuple[Bundle, ...] = (
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
        references=(_UNET, *_ISIC),
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
            *_ISIC,
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
        references=(_GATES, *_ISIC),
        mode="multilabel",
    ),
    Bundle(
        name="attribute_convnext_unet",
        title="ConvNeXt U-Net for dermoscopic attributes",
        summary="A ConvNeXt-Tiny encoder under a decoder of residual units and attention gates, with five logits.",
        network={"_target_": "dermaseg_monai.networks.ConvNeXtUNet", "in_channels": 3, "out_channels": 5},
        parameters=33_066_040,
        source_recipe=_FROM_IMAGENET,
        own_recipe=_ATTRIBUTE_RECIPE.format(rate="2e-4"),
        references=("Liu et al. A ConvNet for the 2020s. CVPR 2022. arXiv:2201.03545", _GATES, *_ISIC),
        mode="multilabel",
        encoder_weights=_IMAGENET,
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
        own_recipe=_ATTRIBUTE_RECIPE.format(rate="1e-3") + f", {_FROM_IMAGENET}",
        references=(
            "Sandler et al. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018. arXiv:1801.04381",
            _UNET,
            *_ISIC,
        ),
        mode="multilabel",
        encoder_weights=_IMAGENET,
        train={"learning_rate": 1e-3},
        scores={"micro_jaccard": 0.3452, "macro_jaccard": 0.1675, "macro_dice": 0.2639, "mean_auc": 0.9422},
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
            _DEEPLAB,
            *_ISIC,
        ),
        mode="multilabel",
        encoder_weights=_IMAGENET,
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
            _DEEPLAB,
            *_ISIC,
        ),
        mode="multilabel",
        encoder_weights=_IMAGENET,
        published="mean Jaccard 0.0896, mean AUC 0.6986",
        train=_CROPS,
        evaluate=_OPENED,
        inference={"crop_lens": True, **_OPENED},
    ),
)

BUNDLES: tuple[Bundle, ...] = (*_LESIONS, *_ATTRIBUTES)
"""The whole collection."""

FLAGSHIP = "lesion_mobilenetv2_unet"
"""The lesion bundle that commands, page and Python take unless told otherwise."""


def get_bundle(name: str) -> Bundle:
    """The catalogue's entry called ``name``.

    Raises:
        InputError: there is none.
    """
    for bundle in BUNDLES:
        if bundle.name == name:
            return bundle
    known = ", ".join(bundle.name for bundle in BUNDLES)
    raise InputError(f"there is no bundle called '{name}'; the collection has {known}.")

"""The bundles that outline the lesion by themselves: data, with no torch behind it."""

from __future__ import annotations

from typing import Any

from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.recipes import (
    DEEPLAB,
    FROM_IMAGENET,
    GATES,
    IMAGENET,
    ISIC,
    MOBILENET,
    UNET,
    WEIGHT_AVERAGE,
    score_handlers,
)

_ONE_CYCLE = {"lr_scheduler": "@schedules#one_cycle"}

# chosen by mean Jaccard: which images pass 0.65 is left to chance by far more than how well they overlap
_AVERAGED = {
    "average": WEIGHT_AVERAGE,
    "validate#key_metric": score_handlers("jaccard"),
    "~validate#additional_metrics#jaccard": None,
    "+validate#additional_metrics": score_handlers("threshold_jaccard"),
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

LESION_BUNDLES: tuple[Bundle, ...] = (
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
        references=(UNET, *ISIC),
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
        references=(UNET, *ISIC),
        image_size=(64, 64),
        published="validation Jaccard 0.6954; mean Jaccard of five test images 0.82",
        scores={"dice": 0.8452, "jaccard": 0.7604, "threshold_jaccard": 0.6871, "accuracy": 0.9448},
        limits=(
            "One seed. It sees 64 x 64 pixels, so its outlines are coarse; the flagship is better by 0.074 Jaccard.",
        ),
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
        references=(GATES, *ISIC),
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
            *ISIC,
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
            *ISIC,
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
        source_recipe=f"CE + Dice, {FROM_IMAGENET}",
        own_recipe=f"AdamW at 1e-4 with weight decay 1e-4, cosine annealing, batch 16, 20 epochs, {_RANGES}",
        references=(DEEPLAB, *ISIC),
        mode="two_class",
        image_size=(320, 320),
        encoder_weights=IMAGENET,
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
        source_recipe=f"contour-aware loss over CE + Tversky, a rate of 1e-3, {FROM_IMAGENET}",
        own_recipe=f"AdamW with weight decay 1e-4, cosine annealing, batch 16, 20 epochs, {_RANGES}",
        references=(DEEPLAB, *ISIC),
        mode="two_class",
        image_size=(320, 320),
        encoder_weights=IMAGENET,
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
        inference={
            "+imports": ["$import dermaseg_monai.inferers as inferers"],
            "uncertainty": True,
            "inferer": _OWN_MAPS,
        },
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
            *ISIC,
        ),
        scores={"dice": 0.8524, "jaccard": 0.7703, "threshold_jaccard": 0.6935, "accuracy": 0.9520},
        limits=(
            "One seed, all weights from nothing: 69 of the 389 test photos have a Jaccard index below 0.65, of the "
            "flagship's 37, which is better by 0.064 Jaccard.",
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
            *ISIC,
        ),
        scores={"dice": 0.8744, "jaccard": 0.8019, "threshold_jaccard": 0.7480, "accuracy": 0.9558},
        limits=(
            "One seed, all weights from nothing. The flagship, with ImageNet's weights, is better by 0.033 Jaccard; it "
            "misses fewer lesions (sensitivity 0.922 against 0.893).",
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
            *ISIC,
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
            f"exponentially and chosen by mean Jaccard, {FROM_IMAGENET}"
        ),
        references=(
            MOBILENET,
            UNET,
            *ISIC,
        ),
        image_size=(192, 256),
        encoder_weights=IMAGENET,
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
            "Part of it is the masks' fault: of the 50 test photos on which it disagrees most with the given mask "
            "beyond its own doubt, 6 have a mask that looks truly wrong, and 21 one that is drawn in another style.",
            "Photos with a ruler, on the validation photos: 0.783, 19 % fail; without, 0.845 and 7 %. Drawn rulers "
            "cost 0.002 at most, so that it is the photos of the clinics that use one which are harder.",
            "Skin that is not very light: lower scores on few photos (0.751 on 38 tan ones of the test section); dark "
            "skin is hardly in the data, so nothing is known of it.",
            "Sensor noise, on the 389 validation photos, whose Jaccard is 0.824 when clean: 0.798 with a standard "
            "deviation of 10 grey levels, 0.729 with 25, 0.565 with 50. It was not trained on noise; this is its "
            "weakest side.",
            "Hair: 0.803 under 30 drawn hairs, 0.766 under 90.",
            "Blur of 2 % of the diagonal: 0.753; of 1 %, 0.801; of 0.5 %, no clear change. JPEG at quality 5: 0.720; "
            "at 20, 0.808.",
            "Lesions far from the camera: 0.733 where the photo is reduced to half its size within the frame. Nearer "
            "ones are found better than those of the clean photos.",
            "Light half as bright, warm casts of up to 30 % and turns of up to 90 degrees change nothing that these "
            "photos could show; a blue cast of 30 % costs 0.008, and photos half as bright again, which cuts off the "
            "light skin, score 0.794.",
        ),
    ),
)

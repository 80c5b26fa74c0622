"""The bundles that outline the lesion a prompt points at: data, with no torch behind it."""

from __future__ import annotations

from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.recipes import ISIC

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

PROMPTED_BUNDLES: tuple[Bundle, ...] = (
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
        references=(_SAM, *ISIC),
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
            *ISIC,
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
            *ISIC,
        ),
        image_size=(1024, 1024),
        checkpoint="mobile_sam",
        weights_license="mobile_sam_license.txt",
        # with the flagship's box
        scores={"dice": 0.8816, "jaccard": 0.8010, "threshold_jaccard": 0.7503},
        limits=(
            "The weights were fine-tuned for boxes, clicks and both (`--prompt_kind mixed`) in three epochs: with the "
            "flagship's box they stay behind the flagship's own mask by 0.034 Jaccard; with three clicks they are "
            "better by 0.018.",
        ),
        train={"start_from": "$sam.best_weights(@bundle_root + '/models')"},
    ),
)

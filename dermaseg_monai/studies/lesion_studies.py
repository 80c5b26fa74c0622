"""The studies of lesion boundaries: data, with no torch behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dermaseg_monai.bundle.recipes import score_handlers
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.variants import AUGMENTED, architectures
from dermaseg_monai.utils.errors import InputError

LEARNING_RATES = (1e-4, 3e-4, 1e-3)

_DEEPLABS = {"deeplabv3": "DeepLabV3", "ba_deeplabv3": "BA-DeepLabV3"}


def _cross_entropy_and(loss: str) -> dict[str, Any]:
    terms = ("CrossEntropyLoss", loss)
    return {
        "_target_": "dermaseg_monai.losses.WeightedSum",
        "losses": [{"_target_": f"dermaseg_monai.losses.{term}", "mode": "@mode"} for term in terms],
    }


def _loss_of(network: str, loss: str) -> dict[str, Any]:
    """The boundary-aware network's loss holds the one that is compared; the plain network's is it."""
    identifier = "loss#overlap_loss" if network == "ba_deeplabv3" else "loss"
    return {identifier: _cross_entropy_and(loss)}


# one rate for all, so that a difference is one of losses; what the rate does is a study of its own
_LOSS = Study(
    name="loss",
    title="Which loss suits DeepLabV3 and BA-DeepLabV3?",
    baseline="deeplabv3_ce_dice",
    variants=tuple(
        Variant(
            name=f"{network}_ce_{name}",
            title=f"{title}, CE + {label}",
            bundle=f"lesion_{network}",
            overrides={"learning_rate": 1e-4, **_loss_of(network, loss)},
            axis={"architecture": title},
        )
        for network, title in _DEEPLABS.items()
        for name, label, loss in (
            ("dice", "Dice", "DiceLoss"),
            ("tversky", "Tversky", "TverskyLoss"),
            ("focal_tversky", "focal Tversky", "FocalTverskyLoss"),
        )
    ),
)


def learning_rate_study(rates: Sequence[str | float] = LEARNING_RATES) -> Study:
    """DeepLabV3 and BA-DeepLabV3 with CE + Tversky at several learning rates.

    Args:
        rates: above 0, as numbers or text; the first is the baseline's.

    Raises:
        InputError: there is no rate, or one is not a positive number.
    """
    try:
        values = [float(rate) for rate in rates]
    except ValueError:
        values = []
    if not values or not min(values) > 0:
        texts = " ".join(map(str, rates))
        raise InputError(f"the learning rates are '{texts}'; give positive numbers, such as 1e-4 3e-4.")
    names = [_short(value) for value in values]
    return Study(
        name="learning_rate",
        title="Which learning rate suits DeepLabV3 and BA-DeepLabV3?",
        baseline=f"deeplabv3_{names[0]}",
        variants=tuple(
            Variant(
                name=f"{network}_{name}",
                title=f"{title}, learning rate {name}",
                bundle=f"lesion_{network}",
                overrides={"learning_rate": value, **_loss_of(network, "TverskyLoss")},
                axis={"architecture": title},
            )
            for network, title in _DEEPLABS.items()
            for name, value in zip(names, values, strict=True)
        ),
    )


def _short(rate: float) -> str:
    """A rate as people write it, 1e-4, whichever way it was given."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


# the bundle's own recipe is CE + Tversky at 1e-3
_COMPONENTS = Study(
    name="components",
    title="What do the boundary and the uncertainty head of BA-DeepLabV3 bring?",
    baseline="full",
    variants=tuple(
        Variant(
            name=name,
            title=title,
            bundle="lesion_ba_deeplabv3",
            overrides={f"network_def#{option}": value for option, value in options.items()},
        )
        for name, title, options in (
            ("full", "both heads", {}),
            (
                "detached_boundary",
                "both heads, contour loss on low-level features alone",
                {"detach_boundary": True},
            ),
            ("no_boundary", "no boundary head", {"boundary_head": False}),
            ("no_uncertainty", "no uncertainty head", {"uncertainty_head": False}),
            ("neither", "neither head", {"boundary_head": False, "uncertainty_head": False}),
        )
    ),
)

# Of the 1,816 training images in batches of 24, the incomplete one left out, 20 epochs are 1,500 steps. A part of
# them reaches that, within 2 %, after so many epochs: (epochs, epochs from one validation to the next), the latter
# such that validation chooses the weights out of about as many candidates as it does with all images.
_SAME_STEPS = {0.1: (210, 10), 0.25: (84, 4), 0.5: (40, 2)}


def _fraction(bundle: str, title: str, fraction: float, schedule: str) -> Variant:
    percent = f"{fraction:.0%}".rstrip("%")
    overrides: dict[str, Any] = {"data_fraction": fraction}
    if schedule == "steps":
        epochs, interval = _SAME_STEPS[fraction]
        overrides |= {"max_epochs": epochs, "val_interval": interval}
    return Variant(
        name=f"{bundle.removeprefix('lesion_')}_{percent}_{schedule}",
        title=f"{title}, {percent} % of the images" + (", as many steps" if schedule == "steps" else ""),
        bundle=bundle,
        overrides=overrides,
        axis={"data_fraction": fraction, "schedule": schedule, "architecture": title},
    )


_DATA_FRACTION = Study(
    name="data_fraction",
    title="How much data do U-Net and U-Net++ need?",
    baseline="unet_100_epochs",
    variants=tuple(
        _fraction(bundle, title, fraction, schedule)
        for bundle, title in (("lesion_unet", "U-Net"), ("lesion_unetpp", "U-Net++"))
        for schedule, fractions in (("epochs", (0.1, 0.25, 0.5, 1.0)), ("steps", (0.1, 0.25, 0.5)))
        for fraction in fractions
    ),
)

_REGULARISATION = Study(
    name="regularisation",
    title="What do batch norm, dropout and augmentation bring the compact U-Net?",
    baseline="as_is",
    variants=tuple(
        Variant(name=name, title=title, bundle="lesion_unet_compact", overrides=overrides)
        for name, title, overrides in (
            ("as_is", "batch norm and dropout", {}),
            ("no_batch_norm", "dropout", {"network_def#norm": "none"}),
            ("no_dropout", "batch norm", {"network_def#dropout": 0.0}),
            ("neither", "neither", {"network_def#norm": "none", "network_def#dropout": 0.0}),
            ("augmented", "batch norm, dropout and augmentation", AUGMENTED),
        )
    ),
)

# of the 1,816 training images, by scripts/channel_statistics.py
_ISIC_2018 = {"mean": [0.7088, 0.581, 0.5353], "std": [0.1565, 0.1641, 0.1785]}

_NORMALISATION = Study(
    name="normalisation",
    title="Are photos better normalised by ImageNet's colours or by those of ISIC 2018?",
    baseline="unet_imagenet",
    variants=tuple(
        Variant(
            name=f"{network}_{name}",
            title=f"{title}, {label}",
            bundle=f"lesion_{network}",
            overrides=overrides,
            axis={"architecture": title},
        )
        for network, title in (("unet", "U-Net"), ("deeplabv3", "DeepLabV3"))
        for name, label, overrides in (
            ("imagenet", "mean and deviation of ImageNet", {}),
            ("isic2018", "mean and deviation of ISIC 2018", _ISIC_2018),
        )
    ),
)

_ARCHITECTURE = Study(
    name="architecture",
    title="How do the architectures compare, each with its own recipe?",
    baseline="lesion_unet",
    variants=architectures("lesion"),
)

# The best of 1e-3, 3e-4 and, where that is better, 1e-4 after 3 epochs, by mean Jaccard on the validation split
_RATES_64: Mapping[str, float] = {
    "lesion_attention_unet": 3e-4,
    "lesion_ba_deeplabv3": 1e-3,
    "lesion_deeplabv3": 1e-3,
    "lesion_mobilenetv2_unet": 1e-3,
    "lesion_segformer_lite": 1e-3,
    "lesion_segnet": 1e-4,
    "lesion_swin_unet_lite": 3e-4,
    "lesion_transunet": 1e-3,
    "lesion_unet": 1e-3,
    "lesion_unet_compact": 3e-4,
    "lesion_unetpp": 1e-3,
}

# 64 pixels, 20 epochs and batches of 40 are the protocol of the compact U-Net's source
_PROTOCOL_64 = {
    **AUGMENTED,
    "augment#hue": 0.0,
    "image_size": [64, 64],
    "max_epochs": 20,
    "batch_size": 40,
    "optimizer#_target_": "torch.optim.AdamW",
    "optimizer#weight_decay": 1e-4,
    "lr_scheduler": "@schedules#cosine",
    "average": None,
    "validate#key_metric": score_handlers("jaccard"),
    "validate#additional_metrics": score_handlers("dice", "threshold_jaccard", "accuracy"),
    "largest_component": False,
    "fill_holes": False,
}

_ARCHITECTURE_64 = Study(
    name="architecture_64",
    title="How do the architectures compare by one protocol at 64 x 64 pixels, each with its own loss?",
    baseline="lesion_unet",
    variants=architectures("lesion", lambda bundle: {**_PROTOCOL_64, "learning_rate": _RATES_64[bundle]}),
)

LESION_STUDIES: tuple[Study, ...] = (
    _LOSS,
    learning_rate_study(),
    _COMPONENTS,
    _DATA_FRACTION,
    _REGULARISATION,
    _NORMALISATION,
    _ARCHITECTURE,
    _ARCHITECTURE_64,
)
"""The studies whose variants outline the lesion."""

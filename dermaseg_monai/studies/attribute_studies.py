"""The studies of the dermoscopic attributes: data, with no torch behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermaseg_monai.bundle.recipes import WEIGHT_AVERAGE
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.variants import AUGMENTED, architectures


def _study(
    name: str, title: str, bundle: str, variants: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> Study:
    """Variants of one bundle: title and overrides by name, the baseline first."""
    return Study(
        name=name,
        title=title,
        baseline=next(iter(variants)),
        task="attribute",
        variants=tuple(
            Variant(name=variant, title=label, bundle=bundle, overrides=overrides)
            for variant, (label, overrides) in variants.items()
        ),
    )


_CONVNEXT = "attribute_convnext_unet"

_ATTRIBUTE_LOSS = _study(
    "attribute_loss",
    "Which loss suits the dermoscopic attributes?",
    _CONVNEXT,
    {
        name: (title, {"loss": f"@losses#{name}", **further})
        for name, title, further in (
            ("bce", "BCE", {}),
            # weighs present and absent pixels alike, for which one half is the prior
            ("weighted_bce", "weighted BCE", {"attribute_prior": False}),
            ("focal", "focal", {}),
            ("dice", "Dice", {}),
            ("jaccard", "Jaccard", {}),
        )
    },
)

_ATTRIBUTE_PRIOR = _study(
    "attribute_prior",
    "Should the attributes' first probabilities be their pixel shares?",
    "attribute_unet",
    {
        "shares": ("the attributes' pixel shares", {}),
        "half": ("one half for each attribute", {"attribute_prior": False}),
    },
)


def _optimizer(name: str, rate: float, decay: float, **arguments: Any) -> dict[str, Any]:
    settings = {"_target_": f"torch.optim.{name}", "weight_decay": decay, **arguments}
    return {"learning_rate": rate, **{f"optimizer#{key}": value for key, value in settings.items()}}


# each at a rate usual for it; the decay of all but AdamW is added to the gradient, where 0.01 would be much
_ATTRIBUTE_OPTIMIZER = _study(
    "attribute_optimizer",
    "Which optimiser suits the dermoscopic attributes?",
    _CONVNEXT,
    {
        "adamw": ("AdamW", {}),
        "adam": ("Adam", _optimizer("Adam", 2e-4, 0.0)),
        "rmsprop": ("RMSprop", _optimizer("RMSprop", 2e-4, 0.0)),
        "sgd": ("SGD with momentum", _optimizer("SGD", 0.02, 1e-4, momentum=0.9, nesterov=True)),
    },
)

_ATTRIBUTE_SCHEDULE = _study(
    "attribute_schedule",
    "Which learning-rate schedule suits the dermoscopic attributes?",
    _CONVNEXT,
    {
        name: (title, {"lr_scheduler": f"@schedules#{name}"} if name != "one_cycle" else {})
        for name, title in (
            ("one_cycle", "one cycle"),
            ("cosine", "cosine annealing"),
            ("plateau", "halved on plateaus"),
            ("constant", "constant"),
        )
    },
)

_COLOUR = ("augment#brightness", "augment#contrast", "augment#saturation", "augment#hue")
_AFFINE = {"augment#rotate": 0, "augment#scale": [1.0, 1.0], "augment#shift": 0.0}
_NO_COLOUR = dict.fromkeys(_COLOUR, 0.0)

_ATTRIBUTE_AUGMENTATION = _study(
    "attribute_augmentation",
    "What does each kind of augmentation bring on the dermoscopic attributes?",
    _CONVNEXT,
    {
        "all": ("flips, rotation, scale, shift and colour", {}),
        "none": ("none", {"augment#flip": False, **_AFFINE, **_NO_COLOUR}),
        "flips": ("flips", {**_AFFINE, **_NO_COLOUR}),
        "geometry": ("flips, rotation, scale and shift", _NO_COLOUR),
        "colour": ("colour", {"augment#flip": False, **_AFFINE}),
    },
)

_ATTRIBUTE_ASPP = _study(
    "attribute_aspp",
    "What do the atrous pyramid and the focal loss bring the Inception U-Net?",
    "attribute_inception_aspp_unet",
    {
        "aspp_cross_entropy": ("ASPP, weighted cross-entropy", {}),
        "aspp_focal": ("ASPP, weighted focal loss", {"loss": "@losses#weighted_focal"}),
        "no_aspp_cross_entropy": ("no ASPP, weighted cross-entropy", {"network_def#aspp": False}),
        "no_aspp_focal": (
            "no ASPP, weighted focal loss",
            {"network_def#aspp": False, "loss": "@losses#weighted_focal"},
        ),
    },
)

_ATTRIBUTE_RECIPE = Study(
    name="attribute_recipe",
    title="Which recipe suits the U-Nets with ASPP: their source's, or this project's?",
    baseline="inception_source",
    task="attribute",
    variants=tuple(
        Variant(
            name=f"{network}_{recipe}",
            title=f"{title}, {recipe}'s recipe",
            bundle=f"attribute_{network}_aspp_unet",
            overrides=overrides,
            axis={"architecture": title},
        )
        for network, title in (("inception", "Inception v3"), ("resnet101", "ResNet-101"))
        for recipe, overrides in (
            ("source", {}),
            (
                "project",
                {
                    **AUGMENTED,
                    "loss": "@losses#weighted_bce_jaccard",
                    "rare_below": 0.3,
                    "average": WEIGHT_AVERAGE,
                    "opening": 0.0,
                },
            ),
        )
    ),
)


_ATTRIBUTE_ARCHITECTURE = Study(
    name="attribute_architecture",
    title="How do the architectures compare on the dermoscopic attributes, each with its own recipe?",
    baseline="attribute_unet",
    task="attribute",
    variants=architectures("attribute"),
)

ATTRIBUTE_STUDIES: tuple[Study, ...] = (
    _ATTRIBUTE_LOSS,
    _ATTRIBUTE_PRIOR,
    _ATTRIBUTE_OPTIMIZER,
    _ATTRIBUTE_SCHEDULE,
    _ATTRIBUTE_AUGMENTATION,
    _ATTRIBUTE_ASPP,
    _ATTRIBUTE_RECIPE,
    _ATTRIBUTE_ARCHITECTURE,
)
"""The studies whose variants segment the attributes."""

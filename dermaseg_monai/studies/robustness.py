"""Robustness: one trained bundle, evaluated on photos that are spoilt step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.run_bundles import base_config
from dermaseg_monai.utils.errors import InputError

NAME = "robustness"

STEPS: Mapping[str, tuple[float, ...]] = {
    "blur": (0.5, 1, 2),
    "noise": (10, 25, 50),
    "jpeg": (50, 20, 5),
    "brightness": (0.5, 0.75, 1.25, 1.5),
    "colour": (-30, -15, 15, 30),
    "scale": (0.5, 0.75, 1.5, 2),
    "rotation": (15, 45, 90),
    "hair": (10, 30, 90),
    "ruler": (1, 2, 4),
}
"""The strengths of each of :data:`dermaseg_monai.transforms.corruptions.CORRUPTIONS`, in its own unit."""

_AFTER_PHOTO = ">validate#preprocessing#transforms#LoadPhotod"
_AFTER_MASK = ">validate#postprocessing#transforms#LoadMaskd"
_COMPONENT = "dermaseg_monai.transforms.corruptions.CorruptPhotod"


def robustness(bundle: str) -> Study:
    """The study whose variants are corruptions of the photos.

    Every variant evaluates the same weights by the bundle's own evaluate.json, on the validation images unless the
    batch says otherwise, with a transform more: after the photo is loaded, and after the mask where the photo moves.

    Args:
        bundle: name or folder of a trained bundle.

    Returns:
        The study, called ``robustness_<bundle>``, whose baseline ``clean`` leaves the photos as they are.

    Raises:
        InputError: there is no such bundle, or it has no weights.
    """
    folder = BundleFolder.find(bundle)
    if folder.weights is None:
        raise InputError(f"{folder.name} has no weights; train it first and name its folder.")
    common = {"section": "validation", "save_masks": False}
    weights = str(folder.weights.absolute())
    variants = [Variant("clean", "clean photos", bundle, common, {"corruption": "clean"}, weights)]
    for corruption, strengths in STEPS.items():
        for strength in strengths:
            spoil = {"_target_": _COMPONENT, "corruption": corruption, "strength": strength, "seed": "@seed"}
            overrides: dict[str, Any] = {**common, _AFTER_PHOTO: {**spoil, "keys": "image"}}
            overrides[_AFTER_MASK] = {**spoil, "keys": "label"}
            axis = {"corruption": corruption, "strength": strength}
            name = f"{corruption}_{strength:g}".replace(".", "p").replace("-", "minus_")
            variants.append(Variant(name, f"{corruption} {strength:g}", bundle, overrides, axis, weights))
    return Study(
        f"{NAME}_{folder.name}",
        f"Robustness of {folder.name}",
        tuple(variants),
        "clean",
        base_config(bundle, "train")["task"],
        seeds=(0,),
    )

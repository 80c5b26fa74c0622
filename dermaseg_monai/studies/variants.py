"""Variants that several studies have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.studies.definition import Task, Variant

AUGMENTED: Mapping[str, Any] = {
    "augment#flip": True,
    "augment#rotate": 180,
    "augment#scale": [0.85, 1.2],
    "augment#shift": 0.1,
    "augment#brightness": 0.2,
    "augment#contrast": 0.2,
    "augment#saturation": 0.2,
}
"""Every kind of augmentation, in the ranges of the base config."""


def architectures(
    task: Task, overrides: Callable[[str], Mapping[str, Any]] = lambda bundle: {}
) -> tuple[Variant, ...]:
    """A variant for each bundle of a task but those that are told where the lesion is, by a prompt."""
    variants = []
    for bundle in BUNDLES:
        if bundle.family == task:
            title = bundle.title.split(" for ")[0]
            axis = {"architecture": title}
            variants.append(Variant(bundle.name, title, bundle.name, overrides(bundle.name), axis))
    return tuple(variants)

"""Definition of a study: named variants of bundles, to be trained with several seeds and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Task = Literal["lesion", "attribute"]

METRICS: Mapping[str, str] = {"lesion": "threshold_jaccard", "attribute": "jaccard"}
"""The column of the per-image tables that a study of each task compares, unless it names another."""


@dataclass(frozen=True)
class Variant:
    """A bundle with named differences.

    Attributes:
        name: of the variant's folder; unique in its study.
        title: display name.
        bundle: what it differs from: a name of the collection or a bundle's folder.
        overrides: the differences, by MONAI config id (``optimizer#lr``).
        axis: where the variant stands in plots: ``data_fraction`` (0 to 1), ``schedule`` (``epochs``, or
            ``steps`` where every variant sees the same number of batches), ``architecture``, ``corruption`` with its
            ``strength``.
        weights: file of trained weights that is evaluated as it is, instead of a training; None to train.
    """

    name: str
    title: str
    bundle: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    axis: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None


@dataclass(frozen=True)
class Study:
    """Variants to compare with one of them.

    Attributes:
        name: of the study's folder.
        title: display name.
        variants: what is compared; the baseline is among them.
        baseline: name of the variant that the others are compared with.
        task: ``lesion`` or ``attribute``; of all variants.
        seeds: starts of randomness; every variant is trained once with each.
        metric: the column of the per-image tables that is compared; None for that of the task.
    """

    name: str
    title: str
    variants: tuple[Variant, ...]
    baseline: str
    task: Task = "lesion"
    seeds: tuple[int, ...] = (0, 1, 2)
    metric: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The content of ``study.json``."""
        return {
            "name": self.name,
            "title": self.title,
            "baseline": self.baseline,
            "metric": self.metric or METRICS[self.task],
            "task": self.task,
            "variants": [_entry(variant) for variant in self.variants],
            "seeds": list(self.seeds),
        }


def _entry(variant: Variant) -> dict[str, Any]:
    entry = {
        "name": variant.name,
        "title": variant.title,
        "bundle": variant.bundle,
        "overrides": dict(variant.overrides),
    }
    further = {"axis": dict(variant.axis), "weights": variant.weights}
    return entry | {key: value for key, value in further.items() if value}

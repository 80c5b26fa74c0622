"""Definition of a bundle: one entry of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dermaseg_monai.utils.modes import Mode, mode_channels


@dataclass(frozen=True)
class Bundle:
    """One architecture with its recipe, as what it differs in from the base configs.

    Attributes:
        name: folder and archive name.
        title: display name.
        summary: one sentence on what the network is.
        network: the ``network_def`` of its configs.
        parameters: trainable parameters of the network.
        own_recipe: what of its training is the project's own, as an enumeration; what the README says of every bundle
            is left out.
        source_recipe: what of its training is as in the source of its results, likewise; None where the recipe is the
            project's own throughout.
        references: papers, one line each.
        mode: how its logits are read.
        image_size: (height, width) the network is given.
        encoder_weights: name of torchvision's ImageNet weights that a training's encoder starts from; None where the
            encoder has none, or the recipe starts from nothing.
        checkpoint: of a promptable bundle, the published weights it starts from, a key of
            :data:`~dermaseg_monai.bundle.published_weights.CHECKPOINTS`; None for all others.
        weights_license: of shipped weights that are not this project's own, the file of the base folder that tells
            their origin and licence; None for all others.
        published: what the literature reports for this architecture on these images; None if nothing.
        scores: means on the test split of the weights that the bundle ships; empty where it ships none.
        limits: where the shipped weights fail, a measured sentence each; empty where none are shipped.
        train: further differences of train.json, by MONAI config id (``optimizer#lr``).
        evaluate: further differences of evaluate.json.
        inference: further differences of inference.json.
        version: of the bundle; each part one digit, since MONAI compares versions as text.
        changelog: what each version brought.
    """

    name: str
    title: str
    summary: str
    network: Mapping[str, Any]
    parameters: int
    own_recipe: str
    references: tuple[str, ...]
    source_recipe: str | None = None
    mode: Mode = "binary"
    image_size: tuple[int, int] = (256, 256)
    encoder_weights: str | None = None
    checkpoint: str | None = None
    weights_license: str | None = None
    published: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    train: Mapping[str, Any] = field(default_factory=dict)
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict)
    version: str = "0.1.0"
    changelog: Mapping[str, str] = field(default_factory=lambda: {"0.1.0": "first version"})

    @property
    def task(self) -> Literal["lesion", "attribute"]:
        """Lesion boundary (ISIC 2018 Task 1) or dermoscopic attributes (Task 2)."""
        return "attribute" if self.mode == "multilabel" else "lesion"

    @property
    def ships_weights(self) -> bool:
        """Whether its folder comes with ``models/model.pt``."""
        return bool(self.scores) or self.weights_license is not None

    @property
    def family(self) -> Literal["lesion", "attribute", "prompt"]:
        """Whose overlays change the base configs: those of its task, or of promptable bundles."""
        return self.task if self.checkpoint is None else "prompt"

    @property
    def out_channels(self) -> int:
        """Channels of the logits."""
        return mode_channels(self.mode) or 5  # the attributes of ISIC 2018

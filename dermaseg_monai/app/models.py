"""Bundles with weights, loaded once and kept, as functions of a photo."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dermaseg_monai.app.batches import Batches, Maps
from dermaseg_monai.app.turns import Turns
from dermaseg_monai.bundle.catalogue import BUNDLES, FLAGSHIP
from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.inferers.flips import AXES
from dermaseg_monai.inferers.maps import predict_maps
from dermaseg_monai.inferers.trained_bundle import before_saving
from dermaseg_monai.sam import Prompt, PromptSession
from dermaseg_monai.transforms import LoadPhotod
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

MAX_PIXELS = 64_000_000
"""Largest photo that the page takes, in pixels: masks and maps are made at full size, in memory."""

_PARTS = ("device", "amp", "batch_size", "inferer", "preprocessing", "postprocessing")


@dataclass(frozen=True)
class Prediction:
    """A bundle's answer to one photo.

    Attributes:
        masks: uint8 ``(C, H, W)`` of 0 and 1, at the photo's own size.
        confidence: of each channel, the mean probability over its predicted pixels.
        uncertainty: float32 ``(1, H, W)`` in 0..1, at the photo's own size; None where none was asked for or made.
        outlines: uint8 ``(2, H, W)`` of 0 and 1, within the inner and the outer outline; None where they were not asked
            for, or for a bundle without.
        unlikeness: of the photo to the training photos, above 1 is to be warned of; None for a bundle without.
    """

    masks: np.ndarray
    confidence: list[float]
    uncertainty: torch.Tensor | None = None
    outlines: np.ndarray | None = None
    unlikeness: float | None = None


class _Pipeline:
    """The parts of an inference.json that lead from a photo's path to masks in memory."""

    def __init__(self, parts: Mapping[str, Any], network: nn.Module) -> None:
        self.network = network
        self.device, self.amp, self.inferer = parts["device"], parts["amp"], parts["inferer"]
        self.before = parts["preprocessing"].transforms
        self.after = before_saving(parts["postprocessing"])
        self.batches = Batches(self.maps, parts["batch_size"])
        for transform in self.before:
            if isinstance(transform, LoadPhotod):
                transform.max_pixels = MAX_PIXELS

    def prepared(self, item: dict[Any, Any]) -> dict[Any, Any]:
        for transform in self.before:
            item = transform(item)
        return item

    @torch.inference_mode()
    def maps(self, images: torch.Tensor) -> Maps:
        return predict_maps(images.to(self.device), self.network, self.inferer, self.amp)

    @torch.inference_mode()
    def finished(self, item: dict[Any, Any], maps: Maps) -> dict[Any, Any]:
        item = {**item, **maps}
        for transform in self.after:
            item = transform(item)
        return item


class Model(BundleFolder):
    """A bundle whose network is loaded at its first use and kept. Several threads may use it."""

    @property
    def task(self) -> str:
        """ "lesion", "attribute" or "prompt" (a promptable bundle)."""
        return "prompt" if self.promptable else super().task

    @cached_property
    def attributes(self) -> list[str]:
        """Names of the masks' channels, of a bundle for attributes."""
        return self.value("attributes")

    @property
    def preprocessing(self) -> Sequence[Any]:
        """The transforms that lead from a photo's path to the network's input."""
        return self._plain.before

    def value(self, name: str) -> Any:
        """What an id of the bundle's inference.json says; None where it has no such id."""
        return self.parts(name)[name] if name in self.config else None

    @cached_property
    def has_outlines(self) -> bool:
        """Whether its weights have an inner and an outer outline."""
        calibration = self.value("calibration")
        return calibration is not None and calibration.inner is not None

    @property
    def has_uncertainty(self) -> bool:
        """Whether it can map where it is unsure."""
        return {"flips", "uncertainty"} <= set(self.config)

    @cached_property
    def loaded(self) -> nn.Module:
        """The network with its weights, in evaluation mode, on its device."""
        return self.network()

    async def segment(
        self, photo: Path, turns: Turns, uncertainty: bool = False, outlines: bool = False
    ) -> Callable[[], Prediction]:
        """Segment one photo, with the arithmetic of ``dermaseg predict``.

        Args:
            photo: the file.
            turns: the queue before the processor.
            uncertainty: map where the answer is unsure as well: the network's own map, or else the entropy of its
                mean over mirrored views.
            outlines: give the inner and the outer outline as well, where the bundle has them.

        Returns:
            What gives the answer, which is as large as the photo: to be called once, in a turn, where it is used up.

        Raises:
            InputError: the photo cannot be read, or has too many pixels.
        """

        def prepare() -> tuple[_Pipeline, dict[Any, Any]]:
            pipeline = self._outlined if outlines and self.has_outlines else self._plain
            return pipeline, pipeline.prepared({"id": photo.stem, "image": str(photo)})

        pipeline, item = await turns.run(prepare)
        image = item["image"].as_tensor()
        maps, views = await pipeline.batches.maps(image, turns), None
        if uncertainty and "uncertainty" not in maps and self.has_uncertainty:
            mirrored = await turns.run(lambda: self._views)
            views = partial(mirrored.finished, item, await mirrored.batches.maps(image, turns))

        def finish() -> Prediction:
            result = pipeline.finished(item, maps)
            heat = result.get("uncertainty") if views is None else views()["uncertainty"]
            masks = plain(result["pred"]).numpy()
            bounds = plain(result["outlines"]).numpy() if "outlines" in result else None
            return Prediction(
                masks, result["confidence"], heat if uncertainty else None, bounds, result.get("unlikeness")
            )

        return finish

    def refine(self, photo: Path, prompt: Prompt) -> np.ndarray:
        """Segment what a prompt points at, by a promptable bundle.

        Args:
            photo: the file.
            prompt: in pixels of the photo.

        Returns:
            uint8 mask ``(H, W)`` of 0 and 1.

        Raises:
            InputError: the photo cannot be read, or has too many pixels.
        """
        return self._session.refine(photo, prompt.points, prompt.labels, prompt.box)

    @cached_property
    def _session(self) -> PromptSession:
        network: Any = self.loaded
        parts = self.parts("canvas", "threshold", "amp")
        return PromptSession(
            network, parts["canvas"], threshold=parts["threshold"], amp=parts["amp"], max_pixels=MAX_PIXELS
        )

    @cached_property
    def _plain(self) -> _Pipeline:
        return _Pipeline(self.parts(*_PARTS), self.loaded)

    @cached_property
    def _outlined(self) -> _Pipeline:
        return _Pipeline(self.parts(*_PARTS, outlines=True), self.loaded)

    @cached_property
    def _views(self) -> _Pipeline:
        return _Pipeline(self.parts(*_PARTS, flips=list(AXES), uncertainty=True), self.loaded)


def find_models(bundles: Sequence[str] = (), ckpt_dir: str | os.PathLike[str] | None = None) -> list[Model]:
    """The bundles that can be used: those named, then those of the collection that have weights.

    Args:
        bundles: names or folders; their weights must be there.
        ckpt_dir: where the weights of the only bundle in ``bundles`` are, if not in its ``models`` folder.

    Returns:
        At least one for the task "lesion"; those named come first.

    Raises:
        InputError: a bundle is unknown or has no weights, ``ckpt_dir`` fits no bundle, or no lesion bundle has
            weights.
    """
    if ckpt_dir is not None and len(bundles) != 1:
        raise InputError("--ckpt_dir holds the weights of one bundle; name that one with --bundle.")
    models: dict[Path, Model] = {}
    for name in bundles:
        model = Model.find(name, ckpt_dir)
        model.check({})
        models[model.path.resolve()] = model
    # the flagship is what a visitor gets who asks for nothing
    for bundle in sorted(BUNDLES, key=lambda bundle: bundle.name != FLAGSHIP):
        try:
            model = Model.find(bundle.name)
        except InputError:
            continue  # an installation without bundles has the catalogue all the same
        if model.weights is not None:
            models.setdefault(model.path.resolve(), model)
    if not any(model.task == "lesion" for model in models.values()):
        raise InputError(
            "no bundle that outlines lesions has weights; train one, or name its folder with --bundle."
        )
    return list(models.values())

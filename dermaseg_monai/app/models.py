"""Bundles with weights, loaded once and kept, as functions of a photo."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.transforms import SaveImaged
from torch import nn

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.engines.photo_evaluator import predict_maps
from dermaseg_monai.inferers.flips import AXES
from dermaseg_monai.sam import Prompt, get_checkpoint, input_prompts
from dermaseg_monai.transforms import LoadPhotod
from dermaseg_monai.utils.errors import InputError

MAX_PIXELS = 64_000_000
"""Largest photo that the page takes, in pixels: masks and maps are made at full size, in memory."""


@dataclass(frozen=True)
class Prediction:
    """What a bundle says of one photo.

    Attributes:
        masks: uint8 ``(C, H, W)`` of 0 and 1, at the photo's own size.
        confidence: of each channel, the mean probability over its predicted pixels.
        uncertainty: float32 ``(1, H, W)`` in 0..1, at the photo's own size; None where none was asked for or made.
    """

    masks: np.ndarray
    confidence: list[float]
    uncertainty: torch.Tensor | None = None


class _Pipeline:
    """The parts of an inference.json that lead from a photo's path to masks in memory."""

    def __init__(self, parser: ConfigParser, network: nn.Module) -> None:
        self.network = network
        self.device = parser.get_parsed_content("device")
        self.amp = parser.get_parsed_content("amp")
        self.inferer = parser.get_parsed_content("inferer")
        self.before = parser.get_parsed_content("preprocessing").transforms
        after = parser.get_parsed_content("postprocessing").transforms
        # what comes before the first file is written makes the masks
        self.after = after[: next((at for at, one in enumerate(after) if isinstance(one, SaveImaged)), None)]
        for transform in self.before:
            if isinstance(transform, LoadPhotod):
                transform.max_pixels = MAX_PIXELS

    def prepared(self, item: dict[Any, Any]) -> dict[Any, Any]:
        for transform in self.before:
            item = transform(item)
        return item

    @torch.inference_mode()
    def predicted(self, item: Mapping[Any, Any], *extra: Any) -> dict[Any, Any]:
        image = item["image"].as_tensor()[None].to(self.device)

        def infer(images: torch.Tensor, network: nn.Module) -> Any:
            return self.inferer(images, network, *extra)

        maps = predict_maps(image, self.network, infer, self.amp)
        result = {**item, **{name: values[0] for name, values in maps.items()}}
        for transform in self.after:
            result = transform(result)
        return result


@dataclass(frozen=True)
class Model:
    """A bundle whose network is loaded at its first use and kept. Several threads may use it.

    Args:
        folder: the bundle's.
        weights: folder of its ``model.pt``.
    """

    folder: Path
    weights: Path

    @property
    def name(self) -> str:
        """The folder's name, which a bundle of the collection is known by."""
        return self.folder.resolve().name

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The bundle's inference.json."""
        return json.loads((self.folder / "configs" / "inference.json").read_text(encoding="utf-8"))

    @property
    def task(self) -> str:
        """ "lesion", "attribute" or "prompt" (a promptable bundle)."""
        if "prompt_source" in self.config:
            return "prompt"
        return "attribute" if self.config.get("mode") == "multilabel" else "lesion"

    @cached_property
    def attributes(self) -> list[str]:
        """Names of the masks' channels, of a bundle for attributes."""
        return self._parser().get_parsed_content("attributes")

    @property
    def preprocessing(self) -> Sequence[Any]:
        """The transforms that lead from a photo's path to the network's input."""
        return self._plain.before

    def value(self, name: str) -> Any:
        """What an id of the bundle's inference.json says; None where it has no such id."""
        return self._parser().get_parsed_content(name) if name in self.config else None

    @property
    def has_uncertainty(self) -> bool:
        """Whether it can map where it is unsure."""
        return {"flips", "uncertainty"} <= set(self.config)

    @property
    def has_weights(self) -> bool:
        """Whether its weights are there."""
        if self.task != "prompt":
            return (self.weights / "model.pt").is_file()
        parser = self._parser()
        weights = Path(parser.get_parsed_content("weights"))
        published = get_checkpoint(parser.get_parsed_content("checkpoint")).file
        return weights.is_file() or (weights / published).is_file()

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, in evaluation mode, on its device."""
        return self._parser().get_parsed_content("network").eval()

    def segment(self, photo: Path, uncertainty: bool = False) -> Prediction:
        """Segment one photo, with the arithmetic of ``dermaseg predict``.

        Args:
            photo: the file.
            uncertainty: map where the answer is unsure as well: the network's own map, or else the entropy of its
                mean over mirrored views.

        Raises:
            InputError: the photo cannot be read, or has too many pixels.
        """
        item = self._plain.prepared({"id": photo.stem, "image": str(photo)})
        result = self._plain.predicted(item)
        heat = result.get("uncertainty")
        if uncertainty and heat is None and self.has_uncertainty:
            heat = self._views.predicted(item)["uncertainty"]
        masks = result["pred"].as_subclass(torch.Tensor).numpy()
        return Prediction(masks, result["confidence"], heat if uncertainty else None)

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
        item = self._plain.prepared({"id": photo.stem, "image": str(photo), "prompt": prompt})
        result = self._plain.predicted(item, [input_prompts(item["image"])])
        return result["pred"].as_subclass(torch.Tensor)[0].numpy()

    @cached_property
    def _plain(self) -> _Pipeline:
        return _Pipeline(self._parser(), self.network)

    @cached_property
    def _views(self) -> _Pipeline:
        return _Pipeline(self._parser(flips=list(AXES), uncertainty=True), self.network)

    def _parser(self, **overrides: Any) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config(self.folder / "configs" / "inference.json")
        places = {"bundle_root": str(self.folder), "ckpt_dir": str(self.weights)}
        asked = {"prompt_source": _asked_prompt} if "prompt_source" in self.config else {}
        parser.update(places | asked | overrides)
        return parser


def _asked_prompt(item: Mapping[str, Any], path: str, size: tuple[int, int]) -> list[Prompt]:
    """A source of prompts for a promptable bundle: the one that the photo came with."""
    return [item["prompt"]]


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
        folder = bundle_folder(name)
        model = Model(folder, folder / "models" if ckpt_dir is None else Path(ckpt_dir))
        if not model.has_weights:
            raise InputError(
                f"there is no {model.weights / 'model.pt'}; train {folder.name} or give --ckpt_dir."
            )
        models[folder.resolve()] = model
    for bundle in BUNDLES:
        try:
            folder = bundle_folder(bundle.name)
        except InputError:
            continue  # an installation without bundles has the catalogue all the same
        model = Model(folder, folder / "models")
        if model.has_weights:
            models.setdefault(folder.resolve(), model)
    if not any(model.task == "lesion" for model in models.values()):
        raise InputError(
            "no bundle that outlines lesions has weights; train one, or name its folder with --bundle."
        )
    return list(models.values())

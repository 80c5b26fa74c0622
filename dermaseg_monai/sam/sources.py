"""Sources of prompts: the ground truth (the oracle), another bundle's prediction, or a person."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.inferers.trained_bundle import TrainedBundle
from dermaseg_monai.sam.from_mask import check_jitter, check_kind, prompt_from_mask
from dermaseg_monai.sam.prompt import Prompt, attach_prompts
from dermaseg_monai.sam.prompts_file import check_inside, read_prompts
from dermaseg_monai.transforms.geometry import geometry_of
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import stem_of

SOURCES = ("oracle", "predicted", "file")
"""The sources by name; "oracle" means the ground truth, in every table."""

Item = Mapping[Any, Any]


class BundlePredictor:
    """Another bundle's mask of a photo, by that bundle's own inference.json.

    The bundle is built at the first photo and computes in float32. Calls from several threads take turns.

    Args:
        bundle: name in the catalogue, or a bundle's folder.
        ckpt_dir: folder of its ``model.pt``; the bundle's own by default.
        device: where it runs; the bundle's own choice by default.
        overrides: further ids of its inference.json, such as ``{"largest_component": true}``.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str] = FLAGSHIP,
        ckpt_dir: str | os.PathLike[str] | None = None,
        device: str | torch.device | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.bundle = bundle
        self.overrides = {"amp": False, **(overrides or {})}
        if ckpt_dir is not None:
            self.overrides["ckpt_dir"] = os.fspath(ckpt_dir)
        if device is not None:
            self.overrides["device"] = torch.device(device)
        self._lock = threading.Lock()

    @cached_property
    def _trained(self) -> TrainedBundle:
        return TrainedBundle(self.bundle, **self.overrides)

    def __call__(self, photo: str | os.PathLike[str]) -> np.ndarray:
        """Segment a photo.

        Args:
            photo: its path.

        Returns:
            uint8 (H, W) of 0 and 1, at the photo's size.

        Raises:
            InputError: the bundle is unknown or has no weights, or the photo cannot be read.
        """
        with self._lock:
            return self._trained.mask(os.fspath(photo))[0].numpy()


class SavedMasks:
    """Masks that a bundle wrote earlier, ``<folder>/<photo's stem>_segmentation.png``.

    Args:
        folder: an inference's output folder, or the ``masks`` of an evaluation's.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def __call__(self, photo: str | os.PathLike[str]) -> np.ndarray:
        """Read the mask of a photo.

        Args:
            photo: its path.

        Returns:
            uint8 (H, W) of 0 and 1.

        Raises:
            InputError: there is no such mask, or it cannot be read.
        """
        return read_mask(self.folder / f"{stem_of(photo)}_segmentation.png")


def predicted_mask(predictor: Callable[[str], np.ndarray], photo: str, truth: np.ndarray) -> np.ndarray:
    """Ask for the mask of a photo, which must have the size of the ground truth.

    Args:
        predictor: gives the mask (H, W) of a photo's path.
        photo: its path.
        truth: (H, W) of 0 and 1.

    Raises:
        InputError: the sizes differ.
    """
    mask = predictor(photo)
    if mask.shape != truth.shape:
        raise InputError(f"the predicted mask of {photo} is not of the size of its ground truth.")
    return mask


class PromptSource:
    """Makes the prompts of a photo.

    Args:
        name: "oracle" (the item's own ground truth), "predicted" (what ``predictor`` segments) or "file".
        kind: "box", "points" or "box_and_points", of prompts from masks.
        points: how many positive points, where points are asked for.
        negative_points: how many negative points, where points are asked for.
        jitter: largest shift of each side of a box, as a share of its width or height.
        seed: start of all randomness.
        predictor: gives the mask (H, W) of a photo's path, such as :class:`BundlePredictor`.
        prompts_file: the person's ``prompts.json``.

    Raises:
        InputError: an argument is out of range, or what the source needs is missing.
    """

    def __init__(
        self,
        name: str = "predicted",
        kind: str = "box",
        points: int = 1,
        negative_points: int = 0,
        jitter: float = 0.0,
        seed: int = 0,
        predictor: Callable[[str], np.ndarray] | None = None,
        prompts_file: str | os.PathLike[str] | None = None,
    ) -> None:
        if name not in SOURCES:
            raise InputError(
                f"the source of prompts is '{name}', but it must be one of {', '.join(SOURCES)}."
            )
        check_kind(kind, points, negative_points)
        check_jitter(jitter)
        if name == "predicted" and predictor is None:
            raise InputError("prompts from a prediction need a predictor; name a bundle that segments first.")
        if name == "file" and prompts_file is None:
            raise InputError("prompts from a file need prompts_file; give the path of your prompts.json.")
        self.name = name
        self.settings = {"kind": kind, "points": points, "negative_points": negative_points, "jitter": jitter}
        self.seed = seed
        self.predictor = predictor
        self.entries = read_prompts(prompts_file) if name == "file" and prompts_file is not None else {}

    def __call__(self, item: Item, path: str, size: tuple[int, int]) -> list[Prompt]:
        """Make prompts.

        Args:
            item: the photo's entry in the data list, with ``id``, and ``label`` where the oracle is asked.
            path: the photo's file.
            size: (height, width) of the photo.

        Returns:
            One prompt for each lesion, in pixels of the photo.

        Raises:
            InputError: there is no mask or entry for the photo, or it does not fit the photo.
        """
        photo_id = str(item.get("id", stem_of(path)))
        if self.name == "file":
            return self._written(photo_id, path, size)
        if self.name == "oracle":
            if not isinstance(item.get("label"), str):
                raise InputError(f"{path} has no ground-truth mask, which the oracle's prompts come from.")
            mask = read_mask(item["label"])
        else:
            mask = self.predictor(path)  # type: ignore[misc]
        if mask.shape != size:
            raise InputError(
                f"the mask that prompts {path} is {mask.shape[1]} x {mask.shape[0]} pixels, but the photo is "
                f"{size[1]} x {size[0]}; they must agree."
            )
        return [prompt_from_mask(mask, **self.settings, seed=self.seed, photo_id=photo_id)]  # type: ignore[arg-type]

    def _written(self, photo_id: str, path: str, size: tuple[int, int]) -> list[Prompt]:
        for name in (photo_id, Path(path).name):
            if name in self.entries:
                check_inside(self.entries[name], size, name)
                return self.entries[name]
        raise InputError(f"{path}: the file of prompts has no entry '{photo_id}' or '{Path(path).name}'.")


class Promptd(MapTransform):
    """Give a photo its prompts, which travel in its ``meta`` to the network.

    Args:
        keys: photos that :class:`~dermaseg_monai.transforms.LoadPhotod` loaded.
        source: makes the prompts.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: a photo was not loaded by LoadPhotod, or its prompts cannot be made.
    """

    def __init__(
        self,
        source: PromptSource,
        keys: KeysCollection = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.source = source

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            image = items[key]
            path = image.meta.get("filename_or_obj") if isinstance(image, MetaTensor) else None
            if path is None:
                raise InputError(f"'{key}' does not know its photo's path; load it with LoadPhotod.")
            attach_prompts(image, self.source(items, str(path), geometry_of(image).original_size))
        return items

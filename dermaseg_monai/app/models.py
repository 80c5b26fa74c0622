"""Bundles with weights, loaded once and kept."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from monai.bundle import ConfigParser
from torch import nn

from dermaseg_monai.engines.inferers import AXES
from dermaseg_monai.errors import InputError
from dermaseg_monai.inference import run_inference
from dermaseg_monai.zoo.catalogue import BUNDLES
from dermaseg_monai.zoo.folders import bundle_folder


@dataclass(frozen=True)
class Model:
    """A bundle whose network is loaded at its first use and kept.

    Attributes:
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
        """ "lesion" or "attribute"."""
        return "attribute" if self.config.get("mode") == "multilabel" else "lesion"

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, on its device."""
        parser = ConfigParser()
        parser.read_config(self.folder / "configs" / "inference.json")
        parser.update({"bundle_root": str(self.folder), "ckpt_dir": str(self.weights)})
        return parser.get_parsed_content("network")

    def segment(self, photo: Path, output: Path) -> pd.DataFrame:
        """Segment one photo, as ``dermaseg predict`` does it.

        Args:
            photo: the file; its stem names what is written.
            output: takes ``<stem>_segmentation.png``, or ``<stem>_attribute_<name>.png`` for each attribute.

        Returns:
            The rows of ``predictions.csv``.

        Raises:
            InputError: the photo cannot be read.
        """
        self._run(photo, output)
        return pd.read_csv(output / "predictions.csv", dtype={"id": str})

    def segment_uncertainty(self, photo: Path, output: Path) -> Path | None:
        """Map where the answer is unsure: the network's own map, or the entropy of its mean over mirrored views.

        Args:
            photo: the file.
            output: takes ``<stem>_uncertainty.png``; where :meth:`segment` wrote one there, it stays.

        Returns:
            The map's file, or None where the bundle cannot make one.
        """
        heat = output / f"{photo.stem}_uncertainty.png"
        if not heat.is_file():
            if not {"flips", "uncertainty"} <= set(self.config):
                return None
            views = output / "views"  # the masks of the mean are not those of the photo alone
            self._run(photo, views, flips=list(AXES), uncertainty=True)
            os.replace(views / heat.name, heat)
            shutil.rmtree(views)
        return heat

    def _run(self, photo: Path, output: Path, **overrides: Any) -> None:
        item = {"id": photo.stem, "image": str(photo)}
        run_inference(
            self.folder,
            output,
            ckpt_dir=str(self.weights),
            network=self.network,
            **{"dataset#data": [item]},
            **overrides,
        )


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
    found: dict[Path, Model] = {}
    for name in bundles:
        folder = bundle_folder(name)
        weights = folder / "models" if ckpt_dir is None else Path(ckpt_dir)
        if not (weights / "model.pt").is_file():
            raise InputError(f"there is no {weights / 'model.pt'}; train {folder.name} or give --ckpt_dir.")
        found[folder.resolve()] = Model(folder, weights)
    for bundle in BUNDLES:
        try:
            folder = bundle_folder(bundle.name)
        except InputError:
            continue  # an installation without bundles has the catalogue all the same
        if (folder / "models" / "model.pt").is_file():
            found.setdefault(folder.resolve(), Model(folder, folder / "models"))
    models = list(found.values())
    if not any(model.task == "lesion" for model in models):
        raise InputError(
            "no bundle that outlines lesions has weights; train one, or name its folder with --bundle."
        )
    return models

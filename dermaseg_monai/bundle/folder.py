"""A bundle on disk: found by name or path, looked into, built and run."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dermaseg_monai
from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.config_ids import apply_overlay
from dermaseg_monai.bundle.overrides import check_overrides
from dermaseg_monai.bundle.published_weights import get_checkpoint
from dermaseg_monai.utils.errors import InputError

if TYPE_CHECKING:
    from monai.bundle import ConfigParser
    from torch import nn
    from typing_extensions import Self

logger = logging.getLogger(__name__)

_PACKAGE = Path(dermaseg_monai.__file__).resolve().parent
# a checkout has them beside the package, an installed wheel inside it
_COLLECTIONS = (_PACKAGE.parent / "bundles", _PACKAGE / "_bundles")
_RESERVED = {"dataset_dir": "PHOTOS", "output_dir": "--output", "bundle_root": "--bundle"}
"""The argument of ``predict`` that sets each of these ids of inference.json."""
_OVERLAYS: Mapping[str, Any] = {
    ">preprocessing#transforms#LoadPhotod": {"_target_": "dermaseg_monai.visualize.overlay.KeepPhotod"},
    ">postprocessing#transforms#SaveMaskd": {
        "_target_": "dermaseg_monai.visualize.overlay.SaveOverlayd",
        "output_dir": "$@output_dir + '/overlays'",
    },
}
"""What overlays add to an inference.json."""


def bundle_folder(name: str | os.PathLike[str]) -> Path:
    """Find a bundle's folder by its catalogue name or by its path.

    Args:
        name: such as ``lesion_unet``, or a folder that has ``configs/inference.json``.

    Returns:
        The bundle's folder.

    Raises:
        InputError: there is no such bundle.
    """
    for folder in (*(collection / name for collection in _COLLECTIONS), Path(name)):
        if (folder / "configs" / "inference.json").is_file():
            return folder
    known = ", ".join(bundle.name for bundle in BUNDLES)
    raise InputError(f"'{name}' is neither the folder of a bundle nor one of the collection ({known}).")


class BundleFolder:
    """A bundle's folder, in the collection or anywhere else, such as a study's run.

    What it says of itself comes from its own ``configs/inference.json``, which is read once. Nothing imports
    PyTorch before a network or another part of the config is built.

    Args:
        path: the folder.
        ckpt_dir: folder of its ``model.pt``, if not ``models`` inside it.

    Example::

        bundle = BundleFolder.find("lesion_mobilenetv2_unet")
        bundle.run("masks", dataset_dir="photos")
    """

    def __init__(self, path: Path, ckpt_dir: str | os.PathLike[str] | None = None) -> None:
        self.path = path
        self.ckpt_dir = path / "models" if ckpt_dir is None else Path(ckpt_dir)

    @classmethod
    def find(cls, name: str | os.PathLike[str], ckpt_dir: str | os.PathLike[str] | None = None) -> Self:
        """The bundle of a catalogue name or path, see :func:`bundle_folder`.

        Raises:
            InputError: there is no such bundle.
        """
        return cls(bundle_folder(name), ckpt_dir)

    @property
    def name(self) -> str:
        """The folder's name, which is the catalogue's for a bundle of the collection."""
        return self.path.resolve().name

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The bundle's inference.json as a dictionary."""
        return json.loads((self.path / "configs" / "inference.json").read_text(encoding="utf-8"))

    @property
    def promptable(self) -> bool:
        """Whether the network takes prompts beside the photo."""
        return "prompt_source" in self.config

    def check_unprompted(self) -> None:
        """Refuse a bundle that segments photos by prompts alone.

        Raises:
            InputError: the bundle is promptable.
        """
        if self.promptable:
            raise InputError(
                f"'{self.name}' takes prompts, and cannot segment photos by itself; choose a bundle without, or use "
                "dermaseg_monai.sam.PromptSession."
            )

    @property
    def task(self) -> str:
        """ "lesion" or "attribute"."""
        return "attribute" if self.config.get("mode") == "multilabel" else "lesion"

    @property
    def weights(self) -> Path | None:
        """The file of its weights: ``model.pt``, or of a promptable bundle also the published file; None without."""
        names = ["model.pt"]
        if self.promptable:
            names.append(get_checkpoint(self.config["checkpoint"]).file)
        return next((self.ckpt_dir / name for name in names if (self.ckpt_dir / name).is_file()), None)

    def check(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse a run of inference.json that cannot be.

        Args:
            overrides: ids of the config.

        Returns:
            The overrides as :func:`~dermaseg_monai.bundle.overrides.check_overrides` reads them.

        Raises:
            InputError: the bundle has no weights, or its inference.json no such id.
        """
        # promptable bundles say themselves which file is missing
        if not self.promptable and self.weights is None and "ckpt_dir" not in overrides:
            raise InputError(
                f"{self.name} has no weights; train it first and point --ckpt_dir at the folder of its model.pt."
            )
        return check_overrides(self.config, overrides)

    def run(self, output: str | os.PathLike[str], overlays: bool = False, **overrides: Any) -> None:
        """Run inference.json through MONAI.

        Args:
            output: folder of the results.
            overlays: also write each photo with its outlines, ``overlays/<stem>.jpg``, while others are segmented.
            **overrides: ids of the config, such as ``dataset_dir``.

        Raises:
            InputError: the bundle has no weights, the config no such id, or there is no photo that can be read.
        """
        overrides = self.check(overrides)
        from monai.bundle import ConfigWorkflow

        from dermaseg_monai.bundle.locator import Locator

        workflow = ConfigWorkflow(
            config_file=str(self.path / "configs" / "inference.json"),
            workflow_type="infer",
            bundle_root=str(self.path),
            output_dir=os.fspath(output),
            **{"ckpt_dir": str(self.ckpt_dir), **overrides},
        )
        if overlays:
            config: Any = workflow.parser.config
            apply_overlay(config, deepcopy(_OVERLAYS))
        workflow.parser.locator = Locator()
        workflow.initialize()
        workflow.run()

    def parser(self, **overrides: Any) -> ConfigParser:
        """A parser of inference.json with ``bundle_root`` and ``ckpt_dir`` set.

        Args:
            **overrides: ids of the config.
        """
        from monai.bundle import ConfigParser

        # a copy: the parser writes what is set below another id into the config that it is given
        parser = ConfigParser(deepcopy(dict(self.config)))
        parser.update({"bundle_root": str(self.path), "ckpt_dir": str(self.ckpt_dir), **overrides})
        return parser

    def parts(self, *names: str, **overrides: Any) -> dict[str, Any]:
        """Built parts of inference.json, which share what they refer to.

        Args:
            *names: ids of the config, such as "preprocessing" and "network".
            **overrides: ids of the config.

        Returns:
            Each part by its name.
        """
        parser = self.parser(**overrides)
        return {name: parser.get_parsed_content(name) for name in names}

    def network(self, **overrides: Any) -> nn.Module:
        """The network with its weights, in evaluation mode, on its device.

        Args:
            **overrides: ids of the config, such as ``device``.

        Raises:
            InputError: the bundle has no weights.
        """
        self.check(overrides)
        return self.parts("network", **overrides)["network"].eval()

    def table_id(self) -> str:
        """The id of the handler that writes predictions.csv, such as ``handlers#0``.

        Raises:
            InputError: inference.json has no such handler.
        """
        for index, handler in enumerate(self.config["handlers"]):
            if handler.get("_target_", "").rsplit(".", 1)[-1] == "PredictionTable":
                return f"handlers#{index}"
        raise InputError(
            f"{self.path / 'configs' / 'inference.json'} has no handler PredictionTable, which writes predictions.csv; "
            "add it."
        )


def check_reserved(overrides: Mapping[str, Any]) -> None:
    """Refuse overrides of the folders that a command gives to a bundle by arguments of its own.

    Raises:
        InputError: one of them is the bundle's, the photos' or the output's folder.
    """
    for name, argument in _RESERVED.items():
        if name in overrides:
            raise InputError(f"--{name} cannot be given here; use {argument}.")


def fold_bundles(study: str | os.PathLike[str]) -> list[Path]:
    """The trained folds of a cross-validation; a warning says how many are not trained yet.

    Args:
        study: the study's folder, such as ``runs/ablations/cross_validation_lesion_unet``.

    Returns:
        The absolute folders of the runs that are trained, in order; none where the folder is no cross-validation.
    """
    runs = sorted(Path(study).absolute().glob("fold_*/seed*"))
    # last.pt is there until a training is complete
    trained = [
        run
        for run in runs
        if (run / "models" / "model.pt").is_file() and not (run / "models" / "last.pt").is_file()
    ]
    plan = Path(study) / "study.json"
    if trained and plan.is_file():
        folds = json.loads(plan.read_text(encoding="utf-8"))["variants"]
        missing = [
            fold["name"] for fold in folds if not any(run.parent.name == fold["name"] for run in trained)
        ]
        if missing:
            logger.warning("%s goes without %s, which are not trained yet", study, ", ".join(missing))
    return trained

"""A bundle's own inference.json, run on photos."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import monai
from monai.bundle import ConfigWorkflow
from monai.bundle.config_item import ComponentLocator
from monai.utils.module import load_submodules

from dermaseg_monai.bundle.overrides import check_overrides
from dermaseg_monai.utils.errors import InputError

_PLACES = {"dataset_dir": "PHOTOS", "output_dir": "--output", "bundle_root": "--bundle"}
"""The argument of ``predict`` that sets each of these ids of inference.json."""


def check_places(overrides: Mapping[str, Any]) -> None:
    """Refuse overrides of what commands give to a bundle themselves.

    Raises:
        InputError: one of them is the bundle's, the photos' or the output's folder.
    """
    for name, argument in _PLACES.items():
        if name in overrides:
            raise InputError(f"--{name} can't be given here; {argument} says it.")


def check_inference(folder: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse an inference that cannot be.

    Returns:
        The overrides, see :func:`~dermaseg_monai.bundle.overrides.check_overrides`.

    Raises:
        InputError: the bundle has no weights, or its inference.json no such id.
    """
    config = json.loads((folder / "configs" / "inference.json").read_text(encoding="utf-8"))
    # promptable bundles have an id of their own for weights, and say themselves which file is missing
    has_weights = "weights" in config or (folder / "models" / "model.pt").is_file()
    if not has_weights and "ckpt_dir" not in overrides:
        raise InputError(
            f"{folder.name} has no weights; train it first and point --ckpt_dir at its model.pt."
        )
    return check_overrides(config, overrides)


def run_inference(folder: Path, output: str | os.PathLike[str], **overrides: Any) -> None:
    """Run a bundle's inference.json.

    Args:
        folder: the bundle's.
        output: where results go.
        **overrides: ids of the config.

    Raises:
        InputError: the bundle has no weights, the config no such id, or there is no photo that can be read.
    """
    overrides = check_inference(folder, overrides)
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs" / "inference.json"),
        workflow_type="infer",
        bundle_root=str(folder),
        output_dir=os.fspath(output),
        **overrides,
    )
    workflow.parser.locator = Locator()
    workflow.initialize()
    workflow.run()


class Locator(ComponentLocator):
    """Finds components without a look at every module of MONAI, wherever their names allow it.

    MONAI's own locator lists the classes of all modules, also for a component that is given by its full name.
    """

    def get_component_module_name(self, name: str) -> list[str] | str | None:
        if "." in name:
            return None
        for package in (monai.transforms, monai.data):
            if hasattr(package, name):
                return getattr(package, name).__module__
        load_submodules(monai, True, monai.excludes)  # those that lazy faces have left out
        return super().get_component_module_name(name)

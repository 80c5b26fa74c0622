"""Photos in, masks out: a bundle's own inference.json, and an overlay for each photo."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from monai.bundle import ConfigWorkflow

from dermaseg_monai.errors import InputError
from dermaseg_monai.overrides import check_overrides
from dermaseg_monai.reports.attributes import COLOURS
from dermaseg_monai.reports.overlay import LONGEST_SIDE, draw_overlay
from dermaseg_monai.transforms import read_mask, read_photo
from dermaseg_monai.zoo.folders import bundle_folder

_PLACES = {"dataset_dir": "PHOTOS", "output_dir": "--output", "bundle_root": "--bundle"}
"""The argument of ``predict`` that sets each of these ids of inference.json."""


def predict(
    photos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    bundle: str = "lesion_mobilenetv2_unet",
    **overrides: Any,
) -> pd.DataFrame:
    """Segment photos with a trained bundle.

    Writes ``<stem>_segmentation.png`` (0/255, the photo's own size), or ``<stem>_attribute_<name>.png`` for
    each attribute, ``overlays/<stem>.jpg`` and ``predictions.csv`` into ``output``; photos that cannot be
    read are listed in ``failures.csv``.

    Args:
        photos: one photo, or a folder of photos of any size.
        output: where results go.
        bundle: name in the catalogue, or a bundle's folder.
        **overrides: ids of the bundle's inference.json, such as ``device`` or ``flips``.

    Returns:
        The rows of ``predictions.csv``.

    Raises:
        InputError: the bundle is unknown, has no weights or no such id, or there is no photo that can be read.
    """
    folder = bundle_folder(bundle)
    check_places(overrides)
    run_inference(folder, output, dataset_dir=os.fspath(photos), **overrides)
    table = pd.read_csv(Path(output) / "predictions.csv", dtype={"id": str})
    draw_overlays(table, Path(output))
    return table


def draw_overlays(table: pd.DataFrame, output: Path) -> None:
    """Draw ``overlays/<stem>.jpg`` for each photo of a ``predictions.csv`` whose masks are in ``output``."""
    for path in table["image"].unique():
        stem = Path(path).stem
        photo = read_photo(path, reduce_to=LONGEST_SIDE)
        overlay = output / "overlays" / f"{stem}.jpg"
        if "attribute" in table:
            masks = [read_mask(output / f"{stem}_attribute_{name}.png") for name in COLOURS]
            draw_overlay(photo, np.stack(masks), overlay, COLOURS)
        else:
            draw_overlay(photo, read_mask(output / f"{stem}_segmentation.png"), overlay)


def check_places(overrides: Mapping[str, Any]) -> None:
    """Refuse overrides of what commands give to a bundle themselves.

    Raises:
        InputError: one of them is the bundle's, the photos' or the output's folder.
    """
    for name, argument in _PLACES.items():
        if name in overrides:
            raise InputError(f"--{name} can't be given here; {argument} says it.")


def check_inference(folder: Path, overrides: Mapping[str, Any]) -> None:
    """Refuse an inference that cannot be.

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
    check_overrides(config, overrides)


def run_inference(folder: Path, output: str | os.PathLike[str], **overrides: Any) -> None:
    """Run a bundle's inference.json.

    Args:
        folder: the bundle's.
        output: where results go.
        **overrides: ids of the config.

    Raises:
        InputError: the bundle has no weights, the config no such id, or there is no photo that can be read.
    """
    check_inference(folder, overrides)
    workflow = ConfigWorkflow(
        config_file=str(folder / "configs" / "inference.json"),
        workflow_type="infer",
        bundle_root=str(folder),
        output_dir=os.fspath(output),
        **overrides,
    )
    workflow.initialize()
    workflow.run()

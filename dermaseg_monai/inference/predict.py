"""Photos in, masks out: a bundle's own inference.json, and an overlay for each photo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermaseg_monai.bundle.folder import BundleFolder, check_places, fold_bundles
from dermaseg_monai.image_files import read_mask, read_photo
from dermaseg_monai.utils.files import path_of, read_table, stem_of
from dermaseg_monai.visualize.colours import COLOURS
from dermaseg_monai.visualize.overlay import LONGEST_SIDE, draw_overlay


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
        bundle: name in the catalogue, a bundle's folder, or the folder of a cross-validation, whose folds are then an
            ensemble.
        **overrides: ids of the bundle's inference.json, such as ``device`` or ``flips``.

    Returns:
        The rows of ``predictions.csv``.

    Raises:
        InputError: the bundle is unknown, has no weights or no such id, or there is no photo that can be read.
    """
    folds = fold_bundles(bundle)
    if folds:
        overrides = {"ensemble": [str(fold) for fold in folds[1:]], **overrides}
    folder = BundleFolder.find(folds[0] if folds else bundle)
    check_places(overrides)
    folder.handler_id("PredictionTable")
    folder.run(output, dataset_dir=os.fspath(photos), **overrides)
    table = read_table(Path(output) / "predictions.csv")
    draw_overlays(table, Path(output))
    return table


def draw_overlays(table: pd.DataFrame, output: Path) -> None:
    """Draw ``overlays/<stem>.jpg`` for each photo of a ``predictions.csv`` whose masks are in ``output``."""
    for path in map(path_of, table["image"].unique()):
        stem = stem_of(path)
        photo = read_photo(path, reduce_to=LONGEST_SIDE)
        overlay = output / "overlays" / f"{stem}.jpg"
        if "attribute" in table:
            masks = [read_mask(output / f"{stem}_attribute_{name}.png") for name in COLOURS]
            draw_overlay(photo, np.stack(masks), overlay, COLOURS)
        else:
            draw_overlay(photo, read_mask(output / f"{stem}_segmentation.png"), overlay)

"""Prediction on photos by a bundle's own inference.json, with an overlay for each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.bundle.folder import BundleFolder, check_reserved, fold_bundles
from dermaseg_monai.utils.files import read_table


def predict(
    photos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    bundle: str = FLAGSHIP,
    **overrides: Any,
) -> pd.DataFrame:
    """Segment photos with a trained bundle.

    Writes ``<stem>_segmentation.png`` (0/255, the photo's own size), or ``<stem>_attribute_<name>.png`` for
    each attribute, ``overlays/<stem>.jpg`` (as large as the photo was decoded, at most 1,600 pixels) and
    ``predictions.csv`` into ``output``; photos that cannot be read are listed in ``failures.csv``.

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
    check_reserved(overrides)
    folder.check(overrides)
    folder.table_id()  # refused before anything is begun
    folder.run(output, overlays=True, dataset_dir=os.fspath(photos), **overrides)
    return read_table(Path(output) / "predictions.csv")

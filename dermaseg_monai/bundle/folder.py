"""Where a bundle's folder is."""

from __future__ import annotations

import os
from pathlib import Path

import dermaseg_monai
from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.utils.errors import InputError

_PACKAGE = Path(dermaseg_monai.__file__).resolve().parent
# a checkout has them beside the package, an installed wheel inside it
_HOMES = (_PACKAGE.parent / "bundles", _PACKAGE / "_bundles")


def bundle_folder(name: str | os.PathLike[str]) -> Path:
    """Find a bundle by its catalogue name or by the path of its folder.

    Args:
        name: such as ``lesion_unet``, or a folder that has ``configs/inference.json``.

    Returns:
        The bundle's folder.

    Raises:
        InputError: there is no such bundle.
    """
    for folder in (*(home / name for home in _HOMES), Path(name)):
        if (folder / "configs" / "inference.json").is_file():
            return folder
    known = ", ".join(bundle.name for bundle in BUNDLES)
    raise InputError(f"'{name}' is neither the folder of a bundle nor one of the collection ({known}).")


def fold_bundles(study: str | os.PathLike[str]) -> list[Path]:
    """The trained folds of a cross-validation.

    Args:
        study: the study's folder, such as ``runs/ablations/cross_validation_lesion_unet``.

    Returns:
        The absolute folders of the runs that have weights, in order; none where the folder is no cross-validation.
    """
    runs = sorted(Path(study).absolute().glob("fold_*/seed*"))
    return [run for run in runs if (run / "models" / "model.pt").is_file()]

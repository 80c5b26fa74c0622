"""Cross-validation: a bundle trained once without each fold, and scored on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dermaseg_monai.data.datalist import Folders, fold_count
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.plan import Run
from dermaseg_monai.studies.results import LESION_SCORES
from dermaseg_monai.studies.run_bundles import base_config
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import read_table, write_text

NAME = "cross_validation"


def cross_validation(bundle: str, folds: int | None, dataset_dir: Folders | None) -> Study:
    """The study whose variants are the folds of a prepared folder.

    Args:
        bundle: name or folder.
        folds: how many there are; None for those of the prepared folder.
        dataset_dir: the prepared folder, or a list of them; None to plan without it.

    Returns:
        The study, called ``cross_validation_<bundle>``, with a variant ``fold_0``, ``fold_1`` ... for each fold.

    Raises:
        InputError: the number of folds is unknown, or not that of the prepared folder.
    """
    prepared = None if dataset_dir is None else fold_count(dataset_dir)
    count = prepared if folds is None else folds
    if prepared is not None and (prepared < 2 or count != prepared):
        raise InputError(
            f"{dataset_dir} has {prepared} folds, not {count if folds else 'at least 2'}; prepare it with --folds "
            f"{folds or 5}."
        )
    if count is None or count < 2:
        raise InputError("a cross-validation needs at least 2 folds; give --folds 5.")
    name = Path(bundle).name
    variants = tuple(
        Variant(f"fold_{fold}", f"{name} without fold {fold}", bundle, {"fold": fold, "section": "fold"})
        for fold in range(count)
    )
    task = base_config(bundle, "train")["task"]
    return Study(f"{NAME}_{name}", f"Cross-validation of {name}", variants, "fold_0", task, seeds=(0,))


def write_out_of_fold(runs: Sequence[Run]) -> Path:
    """Bring the scores of all folds together, each image scored by the training that has not seen it.

    Writes ``out_of_fold.csv`` (the rows of the runs' ``metrics.csv``, with the columns ``fold`` and ``seed``) and
    ``out_of_fold.json`` (images, and mean and standard deviation of each metric over them) into the study's folder.

    Args:
        runs: the finished runs of a cross-validation.

    Returns:
        The table.
    """
    tables = [
        read_table(run.folder / "evaluation" / "metrics.csv").assign(
            fold=run.variant.overrides["fold"], seed=run.seed
        )
        for run in runs
    ]
    table = pd.concat(tables, ignore_index=True).sort_values(["seed", "id"], ignore_index=True, kind="stable")
    folder = runs[0].runs_dir / runs[0].study.name
    scores: dict[str, Any] = {
        name: {"mean": round(table[name].mean(), 6), "sd": round(table[name].std(), 6)}
        for name in table.columns
        if name in LESION_SCORES
    }
    folds = len({run.variant.name for run in runs})
    summary = {"images": int(table["id"].nunique()), "folds": folds, "metrics": scores}
    write_text(folder / "out_of_fold.csv", table.to_csv(index=False, float_format="%.6f"))
    write_text(folder / "out_of_fold.json", json.dumps(summary, indent=2) + "\n")
    return folder / "out_of_fold.csv"

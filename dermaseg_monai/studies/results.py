"""Results in the run folders of a study: its plan, its finished runs, and what is missing and why."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dermaseg_monai.bundle.config_ids import nearest
from dermaseg_monai.studies.definition import Variant
from dermaseg_monai.studies.lock import is_locked, lock_of
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import read_table

LESION_SCORES = (
    *("dice", "jaccard", "threshold_jaccard", "accuracy", "sensitivity", "specificity"),
    *("hd95", "assd", "surface_dice", "hd95_share", "assd_share", "hd95_mm", "assd_mm"),
)
"""Columns of a lesion evaluation's ``metrics.csv`` that are scores."""

COUNTS = ("tp", "fp", "fn", "tn")
"""Columns of an attribute evaluation's ``metrics.csv`` that are counts of pixels."""


@dataclass(frozen=True)
class FinishedRun:
    """One finished run.

    Attributes:
        variant: name of its variant.
        seed: of its training.
        folder: the run's bundle folder.
        record: its ``run.json``.
        scores: its ``evaluation/metrics.csv``: a row per image, or per image and attribute.
        settings: what its ``evaluation/summary.json`` says the masks were made with.
        history: its ``output/history.csv``, a row per epoch; empty where there is none.
    """

    variant: str
    seed: int
    folder: Path
    record: Mapping[str, Any]
    scores: pd.DataFrame
    settings: Mapping[str, Any]
    history: pd.DataFrame


@dataclass(frozen=True)
class MissingRun:
    """A planned run that has no scores to report, and why."""

    variant: str
    seed: int
    why: str


@dataclass(frozen=True)
class StudyRuns:
    """A study and what its runs wrote.

    Attributes:
        name: its folder.
        title: display name.
        folder: ``<runs>/<name>``.
        baseline: name of the variant that the others are compared with.
        metric: the score it is about.
        task: "lesion" or "attribute".
        variants: in their order.
        seeds: that every variant is planned with.
        runs: those finished, in the order of variants and seeds, all scored on the same images.
        missing: the others.
    """

    name: str
    title: str
    folder: Path
    baseline: str
    metric: str
    task: str
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    runs: tuple[FinishedRun, ...]
    missing: tuple[MissingRun, ...]

    @property
    def trained(self) -> bool:
        """Whether there is a variant that was trained, and does not evaluate given weights."""
        return any(variant.weights is None for variant in self.variants)

    @property
    def images(self) -> list[str]:
        """Ids of the images that every run was scored on, sorted."""
        return _images(self.runs[0].scores)

    @property
    def section(self) -> str:
        """The part of the dataset that the runs were scored on: "test", or "validation" in a search."""
        return str(self.runs[0].settings.get("section", "test"))

    def epochs(self) -> pd.DataFrame:
        """The epochs of every finished run: ``variant``, ``seed``, and the columns of ``history.csv``."""
        tables = [
            pd.DataFrame({"variant": run.variant, "seed": run.seed, **run.history})
            for run in self.runs
            if len(run.history)
        ]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def of(self, variant: str) -> list[FinishedRun]:
        """The finished runs of one variant."""
        return [run for run in self.runs if run.variant == variant]

    def scored(self) -> list[Variant]:
        """The variants that have a finished run."""
        return [variant for variant in self.variants if self.of(variant.name)]


def collect(name: str, runs: str | os.PathLike[str]) -> StudyRuns:
    """Read what is there of a study.

    A run counts when its ``run.json`` says ``finished`` and its scores can be read. Comparisons are made image
    by image, so all runs must have been scored on the same images: where they differ, those that most runs
    have are taken, and runs with others are listed as missing.

    Args:
        name: of the study.
        runs: folder of the studies' folders.

    Returns:
        The study with at least one finished run.

    Raises:
        InputError: there is no such study, its ``study.json`` is damaged, or no run of it has finished.
    """
    folder = Path(runs) / name
    plan = _plan(name, folder)
    variants = tuple(_variant(entry, folder) for entry in plan["variants"])
    names = [variant.name for variant in variants]
    if plan["baseline"] not in names:
        raise InputError(
            f"{folder / 'study.json'}: the baseline '{plan['baseline']}' is none of the study's variants"
            f"{nearest(str(plan['baseline']), names) or '.'}"
        )
    finished: list[FinishedRun] = []
    missing: list[MissingRun] = []
    for variant in names:
        for seed in plan["seeds"]:
            try:
                finished.append(_run(folder / variant / f"seed{seed}", variant, seed, plan["task"]))
            except _NoScoresError as error:
                missing.append(MissingRun(variant, seed, str(error)))
    same, other = _on_the_same_images(finished)
    missing += other
    if not same:
        reasons = Counter(entry.why for entry in missing)
        summary = "; ".join(f"{why} ({count} runs)" for why, count in reasons.most_common(3))
        raise InputError(
            f"no run of the study '{name}' in {folder} has finished: {summary}; run `dermaseg study run {name}`."
        )
    return StudyRuns(
        name=name,
        title=str(plan["title"]),
        folder=folder,
        baseline=plan["baseline"],
        metric=plan["metric"],
        task=plan["task"],
        variants=variants,
        seeds=tuple(plan["seeds"]),
        runs=tuple(same),
        missing=tuple(sorted(missing, key=lambda entry: (names.index(entry.variant), entry.seed))),
    )


class _NoScoresError(Exception):
    """Why a run has no scores to report."""


def _plan(name: str, folder: Path) -> dict[str, Any]:
    path = folder / "study.json"
    if not path.is_file():
        known = sorted(file.parent.name for file in folder.parent.glob("*/study.json"))
        hint = f"; run `dermaseg study run {name}` first, or say where its runs are with --runs."
        raise InputError(f"there is no study '{name}' in {folder.parent}{nearest(name, known) or hint}")
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path} is not valid JSON ({error}); run `dermaseg study run {name}` again."
        ) from None
    keys = ("title", "baseline", "metric", "task", "variants", "seeds")
    lacking = [key for key in keys if key not in plan] if isinstance(plan, dict) else keys
    if lacking:
        raise InputError(f"{path} lacks {', '.join(lacking)}; run `dermaseg study run {name}` again.")
    if plan["task"] not in ("lesion", "attribute"):
        raise InputError(f"{path}: the task is '{plan['task']}'; it must be lesion or attribute.")
    return plan


def _variant(entry: dict[str, Any], folder: Path) -> Variant:
    try:
        name = entry["name"]
        return Variant(
            name,
            str(entry.get("title") or name),
            str(entry["bundle"]),
            entry.get("overrides") or {},
            entry.get("axis") or {},
            entry.get("weights"),
        )
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            f"{folder / 'study.json'}: each variant needs a name and a bundle, which {entry} lacks."
        ) from None


def _run(folder: Path, variant: str, seed: int, task: str) -> FinishedRun:
    record_file = folder / "run.json"
    if not record_file.is_file():
        raise _NoScoresError("not started")
    record = _json(record_file)
    status = record.get("status")
    if status == "running" and not is_locked(lock_of(folder)):
        status = "interrupted"  # by a kill, which left no time to write it down
    if status != "finished":
        error = record.get("error")
        last = str(error).strip().splitlines()[-1] if error and str(error).strip() else ""
        raise _NoScoresError(f"{status}: {last}" if last else str(status))
    evaluation = folder / "evaluation"
    history = folder / "output" / "history.csv"
    return FinishedRun(
        variant=variant,
        seed=seed,
        folder=folder,
        record=record,
        scores=_scores(evaluation / "metrics.csv", task),
        settings=_json(evaluation / "summary.json").get("settings", {}),
        history=pd.read_csv(history) if history.is_file() else pd.DataFrame(),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise _NoScoresError(f"{path.name} is missing") from None
    except ValueError:
        raise _NoScoresError(f"{path.name} is damaged") from None
    if not isinstance(content, dict):
        raise _NoScoresError(f"{path.name} is damaged")
    return content


def _scores(path: Path, task: str) -> pd.DataFrame:
    keys = ["id", "attribute"] if task == "attribute" else ["id"]
    wanted = COUNTS if task == "attribute" else ("dice", "jaccard")
    try:
        table = read_table(path)
    except OSError:
        raise _NoScoresError(f"{path.name} is missing") from None
    except ValueError:
        raise _NoScoresError(f"{path.name} is damaged") from None
    lacking = [name for name in (*keys, *wanted) if name not in table]
    if lacking:
        raise _NoScoresError(f"{path.name} has no column {', '.join(lacking)}")
    # an attribute's distances are empty where its masks are
    scores = COUNTS if task == "attribute" else LESION_SCORES
    values = table[[name for name in scores if name in table]]
    if table.empty or table.duplicated(keys).any() or values.isna().to_numpy().any():
        raise _NoScoresError(f"{path.name} is damaged")
    return table.sort_values(keys, ignore_index=True)


def _images(scores: pd.DataFrame) -> list[str]:
    return sorted(scores["id"].unique())


def _on_the_same_images(runs: list[FinishedRun]) -> tuple[list[FinishedRun], list[MissingRun]]:
    """Part the runs into those scored on the images that most have, and the rest."""
    sets = [frozenset(map(tuple, run.scores.filter(["id", "attribute"]).to_numpy())) for run in runs]
    if not sets:
        return [], []
    usual = Counter(sets).most_common(1)[0][0]
    same = [run for run, images in zip(runs, sets, strict=True) if images == usual]
    other = [
        MissingRun(
            run.variant,
            run.seed,
            f"scored on other images than most runs ({len(images)} rows, not {len(usual)})",
        )
        for run, images in zip(runs, sets, strict=True)
        if images != usual
    ]
    return same, other

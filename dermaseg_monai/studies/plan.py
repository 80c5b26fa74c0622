"""The runs of a study and their state."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermaseg_monai.bundle.config_ids import nearest
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.lock import LockedError, is_locked, lock_of, locked
from dermaseg_monai.studies.record import read_history, read_record, write_record
from dermaseg_monai.studies.run_bundles import base_config, run_files
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_text

_LOCK_WAIT_S = 60.0
_SEEDS = 2**32  # NumPy takes none beyond


@dataclass(frozen=True)
class Run:
    """One training of one variant.

    Attributes:
        study: whose it is.
        variant: what is trained.
        seed: start of its randomness.
        extra: the batch's own overrides, which win over the variant's.
        runs_dir: folder of all studies' run folders.
    """

    study: Study
    variant: Variant
    seed: int
    extra: Mapping[str, Any]
    runs_dir: Path

    @property
    def folder(self) -> Path:
        """The run's bundle."""
        return self.runs_dir / self.study.name / self.variant.name / f"seed{self.seed}"

    @property
    def lock(self) -> Path:
        """Held by whoever is at the run."""
        return lock_of(self.folder)

    @property
    def label(self) -> str:
        """As it is called in messages."""
        return f"{self.study.name}/{self.variant.name}/seed{self.seed}"

    @property
    def overrides(self) -> dict[str, Any]:
        """All differences from the base bundle but the seed, as JSON gives them back."""
        return json.loads(json.dumps({**self.variant.overrides, **self.extra}))

    @property
    def planned_epochs(self) -> int:
        """How many epochs it has in all."""
        if self.variant.weights is not None:
            return 0
        written = self.overrides.get("max_epochs")
        return int(written or base_config(self.variant.bundle, "train")["max_epochs"])

    def files(self) -> dict[str, str]:
        """Every file that the run's bundle starts with: text by path."""
        return run_files(self.study, self.variant, self.seed, self.extra)

    def status(self) -> str:
        """``waiting``, ``running``, ``interrupted``, ``failed`` or ``finished``."""
        status = read_record(self.folder).get("status", "waiting")
        if status != "finished" and is_locked(self.lock):
            return "running"
        return "interrupted" if status == "running" else status

    def settle(self, wait: float = 0.0) -> None:
        """Write down as interrupted what says it runs although nobody is at it."""
        if read_record(self.folder).get("status") != "running":
            return
        try:
            with locked(self.lock, wait):
                record = read_record(self.folder)
                if record["status"] == "running":
                    write_record(self.folder, {**record, "status": "interrupted"})
        except LockedError:
            pass


def plan_runs(
    study: Study,
    runs_dir: str | os.PathLike[str],
    seeds: Sequence[int] | None = None,
    epochs: int | None = None,
    variants: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[Run]:
    """List the runs of a study, all variants of one seed before the next seed.

    Args:
        study: what to run.
        runs_dir: folder of all studies' run folders.
        seeds: instead of the study's own.
        epochs: instead of the recipes' own; a variant of fixed steps keeps its ratio to the others.
        variants: names of those to run; all by default.
        overrides: further ids, for every variant; an ``encoder_weights`` of None also fits bundles that have no
            pretrained encoder.

    Returns:
        The runs.

    Raises:
        InputError: a variant is unknown, an override does not fit, or a run's folder holds one with other
            settings.
    """
    names = [variant.name for variant in study.variants]
    for name in variants or ():
        if name not in names:
            raise InputError(
                f"'{study.name}' has no variant '{name}'{nearest(name, names) or ': ' + ', '.join(names)}"
            )
    if epochs is not None and epochs < 1:
        raise InputError(f"epochs is {epochs}; give at least 1.")
    for seed in seeds or study.seeds:
        if seed >= _SEEDS:
            raise InputError(f"the seed {seed} is too large; give numbers below {_SEEDS}.")
    for variant in study.variants:
        for name in ("max_epochs", "val_interval"):
            number = {**variant.overrides, **(overrides or {})}.get(name, 1)
            if type(number) is not int or number < 1:
                raise InputError(
                    f"{name} of '{variant.name}' is {number!r}; give a whole number of at least 1."
                )
    runs = [
        Run(study, variant, seed, _extra(variant, epochs, overrides or {}), Path(runs_dir).absolute())
        for seed in (seeds or study.seeds)
        for variant in study.variants
        if variants is None or variant.name in variants
    ]
    checked: set[str] = set()
    for run in runs:
        if run.variant.name not in checked:
            run.files()
            checked.add(run.variant.name)
        _check_same(run)
    return runs


def write_study(study: Study, runs: Sequence[Run]) -> None:
    """Write ``study.json``, keeping the variants and seeds of earlier batches, whose runs are still there."""
    folder = runs[0].runs_dir / study.name
    with locked(folder / ".study.lock", _LOCK_WAIT_S):
        path = folder / "study.json"
        content = study.as_json()
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        names = [variant["name"] for variant in content["variants"]]
        content["variants"] += [entry for entry in before.get("variants", []) if entry["name"] not in names]
        earlier = before.get("seeds", [])
        content["seeds"] = sorted({*earlier, *(run.seed for run in runs)})
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def is_trained(run: Run) -> bool:
    """Whether a run's training is complete.

    The trainer removes ``last.pt`` at its end. Before that, it is missing only until the first epoch has been
    stored, and an early stop needs two epochs at least.
    """
    models = run.folder / "models"
    if run.variant.weights is not None:
        return True
    if not (models / "model.pt").is_file() or (models / "last.pt").is_file():
        return False
    return len(read_history(run.folder)) >= min(2, run.planned_epochs)


def _extra(variant: Variant, epochs: int | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    overrides = dict(overrides)
    if "encoder_weights" in overrides:
        weights = overrides["encoder_weights"]
        if weights is None and "encoder_weights" not in base_config(variant.bundle, "train"):
            del overrides["encoder_weights"]  # it starts from nothing as it is
        elif isinstance(weights, str) and Path(weights).is_file():
            overrides["encoder_weights"] = str(Path(weights).absolute())  # a run has a folder of its own
    if epochs is None:
        return overrides
    if variant.axis.get("schedule") == "steps" and "max_epochs" in variant.overrides:
        usual = base_config(variant.bundle, "train")["max_epochs"]
        interval = variant.overrides.get("val_interval", 1)
        # ends with a validation, as without one there is nothing to choose the weights by
        scaled = variant.overrides["max_epochs"] * epochs / usual
        epochs = interval * max(1, math.ceil(scaled / interval - 1e-9))
    return {**overrides, "max_epochs": epochs}


def _check_same(run: Run) -> None:
    """Refuse to go on with a run of other settings."""
    record = read_record(run.folder)
    if not record:
        return
    before = {"bundle": record["bundle"], **record["overrides"]}
    wanted = {"bundle": run.variant.bundle, **run.overrides}
    for name in {**before, **wanted}:
        if before.get(name) != wanted.get(name):
            raise InputError(
                f"{run.folder} has {name} {_shown(before.get(name))}, but it is to be {_shown(wanted.get(name))}; "
                "choose another --runs, or delete that folder."
            )


def _shown(value: Any) -> str:
    return "as in its bundle" if value is None else json.dumps(value)

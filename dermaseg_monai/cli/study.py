"""Commands of studies: ``study run`` and ``study report``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.utils.errors import InputError


@typed
def run_study(
    name: str | Sequence[str],
    seeds: int | Sequence[int] | str | None = None,
    epochs: int | None = None,
    device: str | None = None,
    dry_run: bool = False,
    executor: str = "local",
    ray_address: str | None = None,
    cpus_per_run: float | None = None,
    gpus_per_run: float | None = None,
    minutes: float | None = None,
    tracking: str = "none",
    dataset_dir: str | Sequence[str] | None = None,
    runs: str = "runs/ablations",
    variants: str | Sequence[str] | None = None,
    rates: str | Sequence[float] | None = None,
    bundle: str | None = None,
    folds: int | None = None,
    **overrides: Any,
) -> None:
    """Train and evaluate the variants of one or more studies; run it again to go on after an interruption.

    Args:
        name: of a study, or several separated by commas, or a JSON file of your own.
        seeds: numbers separated by commas, instead of the study's own.
        epochs: instead of the recipes' own; a variant of fixed steps keeps its ratio to the others.
        device: cpu or cuda:0; by default one run on each GPU, or in turn on the CPU.
        dry_run: print the plan with an estimate of time, and end.
        executor: local or ray.
        ray_address: of a Ray cluster, such as 10.0.0.1:6379; by default Ray is started on this machine.
        cpus_per_run: processors that a run takes, such as 2 for four runs side by side on a CPU of 8; by default one on
            Ray, all of them on this CPU.
        gpus_per_run: share of a GPU that a run takes, such as 0.25 for four runs side by side on each.
        minutes: after which it ends; a run that would not be done by then is left for the next time.
        tracking: none, or mlflow.
        dataset_dir: folder that ``dermaseg prepare`` wrote, or a list of them.
        runs: folder of the studies' run folders; ``dermaseg study report`` reads it.
        variants: names separated by commas, of those to run.
        rates: learning rates of the study learning_rate, such as "1e-4 3e-4 1e-3".
        bundle: of the studies cross_validation and robustness, a name of the collection or a folder.
        folds: of the study cross_validation; by default those of the prepared folder.
        **overrides: further ids of the bundles' configs, for every variant, such as --image_size "[128,128]".
    """
    begin = time.time()
    from dermaseg_monai.studies.batch import Batch, describe_plan, run_batch
    from dermaseg_monai.studies.cross_validation import NAME, cross_validation, write_out_of_fold
    from dermaseg_monai.studies.lesion_studies import learning_rate_study
    from dermaseg_monai.studies.plan import plan_runs
    from dermaseg_monai.studies.robustness import NAME as ROBUSTNESS
    from dermaseg_monai.studies.robustness import robustness
    from dermaseg_monai.studies.study_file import find_study
    from dermaseg_monai.studies.time_limit import time_limit

    names = list(dict.fromkeys(_words(name, "the study")))
    if rates is not None and "learning_rate" not in names:
        raise InputError(f"--rates are those of the study learning_rate, not of {', '.join(names)}.")
    if (bundle is None) == (names in ([NAME], [ROBUSTNESS])) or (folds is not None and names != [NAME]):
        raise InputError(
            f"--bundle belongs to the studies {NAME} and {ROBUSTNESS}, which need one and stand alone; --folds to "
            f"{NAME}."
        )
    if bundle is not None:
        study = cross_validation(bundle, folds, dataset_dir) if names == [NAME] else robustness(bundle)
        studies = [study]
    else:
        studies = [
            find_study(known)
            if known != "learning_rate" or rates is None
            else learning_rate_study(_words(rates, "--rates"))
            for known in names
        ]
    chosen = None if variants is None else _words(variants, "--variants")
    numbers = None if seeds is None else _numbers(seeds)
    plans = [plan_runs(study, runs, numbers, epochs, chosen, overrides) for study in studies]
    planned = [run for plan in plans for run in plan]
    limit = None if minutes is None else time_limit(minutes, begin, planned)
    batch = Batch(
        dataset_dir or "", device, executor, ray_address, cpus_per_run, gpus_per_run, tracking, limit
    )
    if dry_run:
        for plan in plans:
            print(describe_plan(plan, device, cpus_per_run, gpus_per_run))
        return
    if dataset_dir is None:
        raise InputError(
            "the study needs images; give --dataset_dir, a folder that `dermaseg prepare` wrote."
        )
    ended = run_batch(planned, batch)
    for study, plan in zip(studies, plans, strict=True):
        finished = sum(run in plan for run in ended["finished"])
        print(
            f"{study.name}: {finished} of {len(plan)} runs are finished, in {runs}/{study.name}", flush=True
        )
        if names == [NAME] and finished == len(plan):
            print(f"scores of every image by the training without its fold: {write_out_of_fold(plan)}")
    left = [
        f"  {what}: {', '.join(run.label for run in planned if run in ended[status])}"
        for status, what in _WHAT.items()
        if status in ended
    ]
    if left:
        sys.exit("\n".join(["not all is done:", *left, "run the same command again to go on."]))


@typed
def report_study(
    name: str,
    runs: str = "runs/ablations",
    output: str = "results/ablations",
    dataset_dir: str | None = None,
) -> None:
    """Compare the variants of a study by the runs that have finished: tables, plots and a page.

    Args:
        name: of the study.
        runs: folder of the studies' run folders.
        output: folder for the studies' reports; this one's goes into a folder of its name.
        dataset_dir: the prepared folder that the runs were scored on, for panels of its photos.
    """
    from dermaseg_monai.studies.report.report import report_study as write_report

    print(write_report(name, runs, output, dataset_dir))


_WHAT = {
    "failed": "failed",
    "interrupted": "interrupted",
    "waiting": "not started, for lack of time",
    "running": "being run by another batch",
}


def _words(value: Any, what: str) -> list[str]:
    """Names from what Fire makes of ``a,b``."""
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    words = [str(part) for part in (parts if isinstance(parts, (list, tuple)) else [parts])]
    if not words:
        raise InputError(f"{what} is empty; give at least one name.")
    return words


def _numbers(value: Any) -> list[int]:
    words = _words(value, "--seeds")
    if not all(word.isdecimal() for word in words):
        raise InputError(
            f"--seeds is '{','.join(words)}'; give whole numbers separated by commas, such as 0,1,2."
        )
    return [int(word) for word in words]

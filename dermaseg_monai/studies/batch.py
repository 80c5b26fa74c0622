"""A study from the plan to the last run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermaseg_monai.errors import InputError
from dermaseg_monai.studies.definition import Study
from dermaseg_monai.studies.estimate import Estimate, duration, estimate
from dermaseg_monai.studies.execute import Settings
from dermaseg_monai.studies.executors import Outcome, places, run_locally, run_on_ray
from dermaseg_monai.studies.plan import Run, write_study
from dermaseg_monai.studies.record import read_history
from dermaseg_monai.studies.tracking import MLflowTracking

logger = logging.getLogger(__name__)

EXECUTORS = ("local", "ray")
TRACKERS = ("none", "mlflow")
_SETTLE_S = 15.0


@dataclass(frozen=True)
class Batch:
    """How the runs of a plan are executed.

    Attributes:
        dataset_dir: prepared folder.
        device: such as ``cpu`` or ``cuda:1``; None for every GPU, or the CPU where there is none.
        executor: ``local`` or ``ray``.
        ray_address: of a Ray cluster; None for this machine.
        cpus_per_run: processors that a run takes, on Ray.
        gpus_per_run: share of a GPU that a run takes, above 0 and up to 1; None for a whole one where there are any.
        tracking: ``none`` or ``mlflow``.

    Raises:
        InputError: there is no such executor, tracking or share, or no such device on this machine; what the nodes of
            a Ray cluster have is not known here.
    """

    dataset_dir: str
    device: str | None = None
    executor: str = "local"
    ray_address: str | None = None
    cpus_per_run: float = 1.0
    gpus_per_run: float | None = None
    tracking: str = "none"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("executor", self.executor, EXECUTORS),
            ("tracking", self.tracking, TRACKERS),
        ):
            if value not in known:
                raise InputError(f"there is no {what} '{value}'; choose {' or '.join(known)}.")
        share = self.gpus_per_run
        if share is not None and not (isinstance(share, float | int) and 0 < share <= 1):
            raise InputError(
                f"gpus_per_run is {share}; give a share above 0, up to 1, such as 0.25 for four runs on each."
            )
        _check_device(self.device, here=self.executor == "local")

    def execute(self, runs: Sequence[Run]) -> Iterator[Outcome]:
        """Yield each run with its record, as it ends."""
        settings = Settings(os.fspath(Path(self.dataset_dir).absolute()), self.device)
        if self.executor == "ray":
            return run_on_ray(runs, settings, self.ray_address, self.cpus_per_run, self.gpus_per_run)
        return run_locally(runs, settings, self.gpus_per_run)


def run_batch(study: Study, runs: Sequence[Run], batch: Batch) -> dict[str, list[Run]]:
    """Execute what is left of a study's runs.

    Args:
        study: whose runs they are.
        runs: the plan.
        batch: how to execute them.

    Returns:
        The runs by their status in the end: ``finished``, ``failed``, ``interrupted``, ``running`` (another batch
        is at it).

    Raises:
        InputError: the dataset is not prepared for the study's task, or the executor or tracking is not there.
    """
    from dermaseg_monai.data import load_datalist

    for section in ("training", "validation", "test"):
        load_datalist(batch.dataset_dir, section, study.task)
    tracking = MLflowTracking(runs[0].output) if batch.tracking == "mlflow" else None
    write = tracking.write if tracking else _nothing
    write_study(study, runs)
    ended: dict[str, list[Run]] = {"finished": []}
    left = []
    for run in runs:
        run.settle()
        if run.status() == "finished":
            ended["finished"].append(run)
            write(run)
        else:
            left.append(run)
    if ended["finished"]:
        logger.info("%d of %d runs are finished already", len(ended["finished"]), len(runs))
    begin = time.monotonic()
    try:
        for count, (run, record) in enumerate(batch.execute(left) if left else (), 1):
            ended.setdefault(record["status"], []).append(run)
            pace = (time.monotonic() - begin) / count
            _say(run, record, f"{count} of {len(left)}", duration(pace * (len(left) - count)))
            write(run)
    finally:
        for run in left:
            run.settle(_SETTLE_S)
    return ended


def describe_plan(
    runs: Sequence[Run], dataset_dir: str | None, device: str | None, share: float | None = None
) -> str:
    """The plan as a table with an estimate of time: a line per run, and what it sums up to.

    Runs that share a GPU are taken to be as fast as in turn, since how much it gains is not known beforehand.
    """
    estimates = estimate(runs, dataset_dir, device)
    rows = [("run", "status", "epochs", "about", "from")]
    for run, each in zip(runs, estimates, strict=True):
        status = run.status()
        done = len(read_history(run.folder))
        left = Estimate(0.0, "") if status == "finished" else each
        about = duration(left.seconds) if left.seconds else "-"
        rows.append(
            (run.label, status, f"{done}/{run.planned_epochs}", about, left.source if left.seconds else "")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    remaining = [each for run, each in zip(runs, estimates, strict=True) if run.status() != "finished"]
    side_by_side = len(places(device, share))
    total = sum(each.seconds for each in remaining) / len(places(device))
    sources = " and ".join(sorted({each.source for each in remaining}))
    lines.append(
        f"{len(remaining)} of {len(runs)} runs to go, {side_by_side} at a time: about {duration(total)} of training "
        f"(estimated from {sources}; evaluation comes on top)"
        if remaining
        else f"all {len(runs)} runs are finished"
    )
    return "\n".join(lines)


def _check_device(device: str | None, here: bool) -> None:
    import torch

    try:
        place = torch.device(device or "cpu")
    except RuntimeError:
        raise InputError(f"there is no device '{device}'; give cpu or cuda:0.") from None
    if place.type == "cpu" or not here:
        return
    kind = torch.accelerator.current_accelerator()
    there = [f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())] if kind else []
    if f"{place.type}:{place.index or 0}" not in there:
        raise InputError(
            f"there is no device '{device}' on this machine; give {' or '.join(['cpu', *there])}."
        )


def _nothing(run: Run) -> None:
    """No tracking."""


def _say(run: Run, record: Mapping[str, Any], count: str, left: str) -> None:
    status = record["status"]
    if status == "finished":
        logger.info(
            "%s: %s finished after %.1f min; about %s left", count, run.label, record["minutes"], left
        )
    elif status == "failed":
        told = "\n    ".join(str(record["error"]).splitlines())
        logger.error("%s: %s failed; it said last:\n    %s", count, run.label, told)
    elif status == "running":
        logger.info("%s: %s is being run by another batch", count, run.label)
    else:
        logger.info("%s: %s was interrupted", count, run.label)

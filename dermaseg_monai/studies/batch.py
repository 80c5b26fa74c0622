"""Batch of the runs of one or more studies, from the plan to the last run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dermaseg_monai.data.datalist import Folders, absolute
from dermaseg_monai.studies.execute import Settings
from dermaseg_monai.studies.executors import Outcome, environments, run_locally, run_on_ray
from dermaseg_monai.studies.pace import Estimate, Pace, duration, expected, paces, remaining
from dermaseg_monai.studies.plan import Run, write_study
from dermaseg_monai.studies.record import read_history
from dermaseg_monai.studies.time_limit import TimeLimit
from dermaseg_monai.studies.tracking import MLflowTracking
from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

EXECUTORS = ("local", "ray")
TRACKERS = ("none", "mlflow")
_SETTLE_S = 15.0


@dataclass(frozen=True)
class Batch:
    """How the runs of a plan are executed.

    Attributes:
        dataset_dir: prepared folder, or a list of them.
        device: such as ``cpu`` or ``cuda:1``; None for every GPU, or the CPU where there is none.
        executor: ``local`` or ``ray``.
        ray_address: of a Ray cluster; None for this machine.
        cpus_per_run: processors that a run takes; None for one on Ray, all of them on this machine's CPU, and any
            number beside its GPUs.
        gpus_per_run: share of a GPU that a run takes, above 0 and up to 1; None for a whole one where there are any.
        tracking: ``none`` or ``mlflow``.
        limit: the time that there is for all runs; None for as long as they take.

    Raises:
        InputError: there is no such executor, tracking, number or share, or no such device on this machine; what the
            nodes of a Ray cluster have is not known here.
    """

    dataset_dir: Folders
    device: str | None = None
    executor: str = "local"
    ray_address: str | None = None
    cpus_per_run: float | None = None
    gpus_per_run: float | None = None
    tracking: str = "none"
    limit: TimeLimit | None = None

    def __post_init__(self) -> None:
        for what, value, known in (
            ("executor", self.executor, EXECUTORS),
            ("tracking", self.tracking, TRACKERS),
        ):
            if value not in known:
                raise InputError(f"there is no {what} '{value}'; choose {' or '.join(known)}.")
        if self.cpus_per_run is not None and not self.cpus_per_run > 0:
            raise InputError(f"cpus_per_run is {self.cpus_per_run}; give a number above 0, such as 2.")
        share = self.gpus_per_run
        if share is not None and not (isinstance(share, float | int) and 0 < share <= 1):
            raise InputError(
                f"gpus_per_run is {share}; give a share above 0, up to 1, such as 0.25 for four runs on each."
            )
        _check_device(self.device, local=self.executor == "local")

    def execute(self, runs: Sequence[Run]) -> Iterator[Outcome]:
        """Yield each run with its record, as it ends."""
        settings = Settings(str(absolute(self.dataset_dir)), self.device, limit=self.limit)
        if self.executor == "ray":
            return run_on_ray(runs, settings, self.ray_address, self.cpus_per_run, self.gpus_per_run)
        return run_locally(runs, settings, self.cpus_per_run, self.gpus_per_run)


def run_batch(runs: Sequence[Run], batch: Batch) -> dict[str, list[Run]]:
    """Execute what is left of the runs of one or more studies.

    Args:
        runs: the plan, in the order in which they start.
        batch: how to execute them.

    Returns:
        The runs by their status in the end: ``finished``, ``failed``, ``interrupted``, ``waiting`` (there was no time
        to start them), ``running`` (another batch is at it).

    Raises:
        InputError: the dataset is not prepared for a study's task, or the executor or tracking is not there.
    """
    from dermaseg_monai.data import load_datalist

    studies = {run.study.name: run.study for run in runs}
    for task in {study.task for study in studies.values()}:
        for section in ("training", "validation", "test"):
            load_datalist(batch.dataset_dir, section, task)
    tracking = MLflowTracking(runs[0].runs_dir) if batch.tracking == "mlflow" else None
    write = tracking.write if tracking else _nothing
    for name, study in studies.items():
        write_study(study, [run for run in runs if run.study.name == name])
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
    begin, done = time.monotonic(), []
    try:
        for run, record in batch.execute(left) if left else ():
            ended.setdefault(record["status"], []).append(run)
            done.append(run)
            to_go = remaining(done, left, time.monotonic() - begin)
            if to_go is not None and batch.limit:
                to_go = min(to_go, max(0.0, batch.limit.left()))
            _say(run, record, f"{len(done)} of {len(left)}", to_go)
            write(run)
    finally:
        for run in left:
            run.settle(_SETTLE_S)
    return ended


def describe_plan(
    runs: Sequence[Run],
    device: str | None,
    cpus: float | None = None,
    gpus: float | None = None,
) -> str:
    """The plan as a table with an estimate of time by what other runs took: a line per run, and what it sums up to.

    Runs that share a device are taken to be as fast as in turn, since how much it gains is not known beforehand.
    """
    known = paces(runs[0].runs_dir)
    estimates = [_expected(run, known) for run in runs]
    rows = [("run", "status", "epochs", "about", "from")]
    for run, estimate in zip(runs, estimates, strict=True):
        status = run.status()
        epochs = len(read_history(run.folder))
        timed = estimate is not None and status != "finished" and estimate.seconds > 0
        about, source = (duration(estimate.seconds), estimate.source) if timed and estimate else ("-", "")
        rows.append((run.label, status, f"{epochs}/{run.planned_epochs}", about, source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    remaining = [
        estimate for run, estimate in zip(runs, estimates, strict=True) if run.status() != "finished"
    ]
    side_by_side = len(environments(device, cpus, gpus))
    if not remaining:
        return "\n".join([*lines, f"all {len(runs)} runs are finished"])
    left = f"{len(remaining)} of {len(runs)} runs to go, {side_by_side} at a time"
    estimated = [estimate for estimate in remaining if estimate is not None]
    if len(estimated) < len(remaining):
        return "\n".join([*lines, f"{left}; how long they take is known once a run has finished an epoch"])
    total = sum(estimate.seconds for estimate in estimated) / len(environments(device))
    sources = " and ".join(sorted({estimate.source for estimate in estimated}))
    return "\n".join([*lines, f"{left}: about {duration(total)} (estimated from {sources})"])


def _expected(run: Run, known: Sequence[Pace]) -> Estimate | None:
    """What a run still takes; None where that is not known yet."""
    return Estimate(0.0, "no training") if run.variant.weights is not None else expected(run, known)


def _check_device(device: str | None, local: bool) -> None:
    import torch

    try:
        wanted = torch.device(device or "cpu")
    except RuntimeError:
        raise InputError(f"there is no device '{device}'; give cpu or cuda:0.") from None
    if wanted.type == "cpu" or not local:
        return
    kind = torch.accelerator.current_accelerator()
    devices = [f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())] if kind else []
    if f"{wanted.type}:{wanted.index or 0}" not in devices:
        raise InputError(
            f"there is no device '{device}' on this machine; give {' or '.join(['cpu', *devices])}."
        )


def _nothing(run: Run) -> None:
    """No tracking."""


def _say(run: Run, record: Mapping[str, Any], count: str, seconds_left: float | None) -> None:
    status = record["status"]
    if status == "finished":
        left = "" if seconds_left is None else f"; about {duration(seconds_left)} left"
        logger.info("%s: %s finished after %.1f min%s", count, run.label, record["minutes"], left)
    elif status == "failed":
        message = "\n    ".join(str(record["error"]).splitlines())
        logger.error("%s: %s failed; it said last:\n    %s", count, run.label, message)
    elif status == "running":
        logger.info("%s: %s is being run by another batch", count, run.label)
    elif status == "waiting":
        logger.info("%s: %s is not started: %s", count, run.label, record["error"])
    else:
        logger.info("%s: %s was interrupted", count, run.label)

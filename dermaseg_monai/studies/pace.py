"""Estimates of the time that a run takes, by what other runs in the same folder took."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from dermaseg_monai.studies.plan import Run, is_trained
from dermaseg_monai.studies.record import read_history, read_record

_FORWARD_SHARE = 1 / 3
"""Of a training step, what the forward pass takes, which is all that validation does."""

_VALIDATION = 389 / 1816  # images of ISIC 2018 to validate with, for each one to train with


@dataclass(frozen=True)
class Estimate:
    """Of one run.

    Attributes:
        seconds: that the run still takes.
        source: what the estimate rests on.
    """

    seconds: float
    source: str


@dataclass(frozen=True)
class Pace:
    """What a run took.

    Attributes:
        variant: the study's and the variant's name.
        bundle: what the variant differs from.
        epochs: seconds of each epoch, divided by :func:`work`; at least one.
        rest: seconds of everything but epochs: starting, decoding, evaluation; None for a run that is not finished.
        written: when the last epoch ended, in seconds since 1970.
    """

    variant: str
    bundle: str
    epochs: Sequence[float]
    rest: float | None
    written: float


def work(train: Mapping[str, Any]) -> float:
    """What the time of an epoch grows with: the pixels of its images, by the config of a training."""
    share = train["data_fraction"]  # of several folders a list
    images = mean(share) if isinstance(share, list) else share
    images += _VALIDATION * _FORWARD_SHARE / int(train["val_interval"])
    return images * math.prod(train["image_size"])


def paces(runs_dir: Path) -> list[Pace]:
    """Those of all runs below the folder of all studies that have trained for an epoch at least."""
    known = []
    for folder in sorted(path.parent for path in runs_dir.glob("*/*/seed*/run.json")):
        record = read_record(folder)
        seconds = [row["seconds"] for row in read_history(folder) if "seconds" in row]
        if seconds:
            amount = work(json.loads((folder / "configs" / "train.json").read_text(encoding="utf-8")))
            rest = max(0.0, 60 * record["minutes"] - sum(seconds)) if record["status"] == "finished" else None
            written = (folder / "output" / "history.csv").stat().st_mtime
            variant = f"{folder.parts[-3]}/{folder.parts[-2]}"
            known.append(
                Pace(variant, record["bundle"], [epoch / amount for epoch in seconds], rest, written)
            )
    return known


def expected(run: Run, known: Sequence[Pace], since: float = 0.0) -> Estimate | None:
    """Estimate the time that a run still takes, evaluation included.

    It is the median epoch of the same variant, where one is known, or else of the same bundle or else of all runs, in
    proportion to the images of an epoch and their pixels, times the epochs that are left; and the median of what
    finished runs took beside their epochs.

    Args:
        run: what is to be done.
        known: what other runs took, and the run itself so far.
        since: runs that trained after this moment, in seconds since 1970, count alone where there are any, as earlier
            ones may have had another machine.

    Returns:
        The estimate; None where ``known`` is empty.
    """
    variant = f"{run.study.name}/{run.variant.name}"
    by_source = {
        "the same variant": [pace for pace in known if pace.variant == variant],
        "the same bundle": [pace for pace in known if pace.bundle == run.variant.bundle],
        "other bundles": known,
    }
    source = next((source for source, matches in by_source.items() if matches), None)
    if source is None:
        return None
    alike = _recent(by_source[source], since)
    epoch = median(epoch_seconds for pace in alike for epoch_seconds in pace.epochs) * work(
        json.loads(run.files()["configs/train.json"])
    )
    finished = [pace for pace in alike if pace.rest is not None] or _recent(
        [pace for pace in known if pace.rest is not None], since
    )
    rest = median(pace.rest or 0.0 for pace in finished) if finished else 0.0
    epochs = 0 if is_trained(run) else max(0, run.planned_epochs - len(read_history(run.folder)))
    return Estimate(epochs * epoch + rest, f"runs of {source}")


def remaining(done: Sequence[Run], runs: Sequence[Run], elapsed: float) -> float | None:
    """Estimate the seconds that the rest of a batch takes, at the pace of what is done.

    Beside trainings, runs that only evaluate given weights count for nothing.

    Args:
        done: those of ``runs`` that have ended.
        runs: all of the batch.
        elapsed: seconds since the batch began.

    Returns:
        The estimate; None where there are trainings and none of them has ended.
    """
    trainings = sum(run.variant.weights is None for run in runs)
    ended = sum(run.variant.weights is None for run in done) if trainings else len(done)
    return elapsed / ended * ((trainings or len(runs)) - ended) if ended else None


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _recent(known: Sequence[Pace], since: float) -> Sequence[Pace]:
    return [pace for pace in known if pace.written >= since] or known

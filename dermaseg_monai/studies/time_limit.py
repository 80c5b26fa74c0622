"""The time that a batch has: which runs it has room for, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from dermaseg_monai.studies.pace import duration, expected, paces
from dermaseg_monai.studies.plan import Run
from dermaseg_monai.utils.errors import InputError


@dataclass(frozen=True)
class TimeLimit:
    """A span of time, the same on every machine of a cluster.

    Attributes:
        begin: seconds since 1970.
        end: likewise.
        at_any_rate: runs start although they would not end in time.
    """

    begin: float
    end: float
    at_any_rate: bool = False

    def left(self) -> float:
        """Seconds until the end; below 0 after it."""
        return self.end - time.time()

    def refusal(self, run: Run) -> str | None:
        """Why there is no time for a run, as half a sentence; None where there is.

        A run may start where others let expect its end in time. While nothing is known, it may.
        """
        left = self.left()
        if left <= 0:
            return "the time is over"
        if self.at_any_rate:
            return None
        estimate = expected(run, paces(run.runs_dir), self.begin)
        if estimate is None or estimate.seconds <= left:
            return None
        return (
            f"it takes about {duration(estimate.seconds)} by {estimate.source}, and {duration(left)} are left"
        )


def time_limit(minutes: float, begin: float, runs: Sequence[Run]) -> TimeLimit:
    """The time limit of a batch.

    Where not one of the runs would end in time, they start at any rate: each time that the command is given they get
    on, and in the end they fit.

    Args:
        minutes: from ``begin`` on; above 0.
        begin: seconds since 1970.
        runs: the plan.

    Raises:
        InputError: there are no minutes.
    """
    if not minutes > 0:
        raise InputError(f"--minutes is {minutes}; give the time that there is, such as 55.")
    limit = TimeLimit(begin, begin + 60 * minutes)
    known = paces(runs[0].runs_dir)
    estimates = [expected(run, known) for run in runs if run.status() != "finished"]
    hopeless = all(estimate and estimate.seconds > limit.left() for estimate in estimates)
    return TimeLimit(limit.begin, limit.end, at_any_rate=hopeless)

"""Which runs a batch has time for, and what it does when the time is over."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.studies import time_limit as module
from dermaseg_monai.studies.execute import Settings, execute
from dermaseg_monai.studies.executors import run_on_ray
from dermaseg_monai.studies.lock import is_locked
from dermaseg_monai.studies.pace import expected, paces, remaining
from dermaseg_monai.studies.plan import Run, plan_runs
from dermaseg_monai.studies.record import read_history, read_record, write_record
from dermaseg_monai.studies.study_file import load_study
from dermaseg_monai.studies.time_limit import TimeLimit, time_limit
from tests.disc_dataset import write_dataset
from tests.studies.tiny_study import command, finish, kill, start, status, wait_until, write_file

VARIANTS: dict[str, Any] = {
    "plain": {},
    "wide": {"image_size": [64, 32]},
    "tenth": {"data_fraction": 0.1, "val_interval": 10},
    "other": {},
}
VALIDATION = 389 / 1816 / 3
"""What an epoch takes beside training on all images, in units of that."""


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Run]:
    """Runs of ten epochs, by variant and seed; ``other`` has another bundle."""
    variants = [{"name": name, "overrides": each} for name, each in VARIANTS.items()]
    variants[-1]["bundle"] = "lesion_segnet"
    common = {"image_size": [32, 32], "max_epochs": 10}
    study = write_file(tmp_path, variants=variants, overrides=common, seeds=[0, 1])
    planned = plan_runs(load_study(study), tmp_path / "runs")
    return {f"{run.variant.name}{run.seed}": run for run in planned}


def trained(run: Run, seconds: float, epochs: int = 10, rest: float | None = 30.0) -> None:
    """Write what a run leaves whose epochs took so long; ``rest`` is None for one that is not finished."""
    for path, text in run.files().items():
        (run.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / path).write_text(text)
    rows = "".join(f"{epoch},0.5,{seconds}\n" for epoch in range(1, epochs + 1))
    (run.folder / "output").mkdir(exist_ok=True)
    (run.folder / "output" / "history.csv").write_text("epoch,loss,seconds\n" + rows)
    record = {"bundle": run.variant.bundle, "overrides": run.overrides, "status": "interrupted"}
    if rest is not None:
        record |= {"status": "finished", "minutes": (seconds * epochs + rest) / 60}
    write_record(run.folder, record)


def seconds(run: Run, since: float = 0.0) -> float | None:
    estimate = expected(run, paces(run.runs_dir), since)
    return estimate and estimate.seconds


def test_nothing_is_expected_while_nothing_is_known(runs: dict[str, Run]) -> None:
    assert seconds(runs["plain0"]) is None


def test_the_nearest_runs_tell_the_time(runs: dict[str, Run]) -> None:
    trained(runs["other0"], seconds=8)
    assert seconds(runs["plain0"]) == pytest.approx(8 * 10 + 30)  # by other bundles
    assert seconds(runs["wide0"]) == pytest.approx(2 * 8 * 10 + 30)  # twice the pixels
    tenth = (0.1 + VALIDATION / 10) / (1 + VALIDATION)
    assert seconds(runs["tenth0"]) == pytest.approx(tenth * 8 * 10 + 30)
    trained(runs["wide0"], seconds=4, rest=10)
    assert seconds(runs["plain0"]) == pytest.approx(2 * 10 + 10)  # by the same bundle
    trained(runs["plain0"], seconds=3, rest=20)
    assert seconds(runs["plain1"]) == pytest.approx(3 * 10 + 20)  # by the same variant
    assert seconds(runs["wide1"]) == pytest.approx(4 * 10 + 10)


def test_a_run_that_was_interrupted_takes_what_is_left_of_it(runs: dict[str, Run]) -> None:
    trained(runs["plain0"], seconds=3, epochs=4, rest=None)
    assert seconds(runs["plain0"]) == pytest.approx(3 * 6)
    trained(runs["other0"], seconds=8, rest=30)  # all that is known of starting and evaluating
    assert seconds(runs["plain0"]) == pytest.approx(3 * 6 + 30)
    (runs["plain0"].folder / "models").mkdir()
    (runs["plain0"].folder / "models" / "model.pt").touch()  # trained, by an early stop
    assert seconds(runs["plain0"]) == pytest.approx(30)


def test_runs_of_another_machine_count_until_there_are_newer_ones(runs: dict[str, Run]) -> None:
    trained(runs["plain0"], seconds=100)
    now = time.time()
    assert seconds(runs["plain1"], since=now + 60) == pytest.approx(100 * 10 + 30)
    trained(runs["plain1"], seconds=2, epochs=1, rest=None)
    os.utime(runs["plain1"].folder / "output" / "history.csv", (now + 120, now + 120))
    assert seconds(runs["plain1"], since=now + 60) == pytest.approx(2 * 9 + 30)


def test_trainings_alone_tell_when_a_batch_of_them_ends(runs: dict[str, Run]) -> None:
    plain, other = runs["plain0"], runs["other0"]
    given = replace(plain, variant=replace(plain.variant, weights="model.pt"))
    batch = [given, plain, other]
    assert remaining([given], batch, elapsed=5.0) is None
    assert remaining([given, other], batch, elapsed=60.0) == 60.0
    assert remaining(batch, batch, elapsed=90.0) == 0.0
    assert remaining([given], [given, given, given], elapsed=5.0) == 10.0  # no training among them


class Clock:
    """Stands in for the module ``time``."""

    now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_run_starts_where_its_end_is_expected_in_time(runs: dict[str, Run], clock: Clock) -> None:
    limit = time_limit(3, clock.now, list(runs.values()))
    clock.now += 179
    assert limit.refusal(runs["plain0"]) is None  # nothing is known
    trained(runs["other0"], seconds=8)
    clock.now = 1000 + 180 - 111
    assert limit.refusal(runs["plain0"]) is None
    clock.now += 2
    assert (
        limit.refusal(runs["plain0"])
        == "it takes about 1.8 min by runs of other bundles, and 1.8 min are left"
    )
    assert limit.refusal(runs["tenth0"]) is None
    clock.now = 1180
    assert limit.refusal(runs["tenth0"]) == "the time is over"


def test_runs_start_at_any_rate_where_none_would_end_in_time(runs: dict[str, Run], clock: Clock) -> None:
    trained(runs["plain0"], seconds=60)
    trained(runs["tenth0"], seconds=6)
    left = [runs["plain1"], runs["plain0"]]  # one that is finished does not count
    limit = time_limit(5, clock.now, left)
    assert limit.refusal(runs["plain1"]) is None
    clock.now += 301
    assert limit.refusal(runs["plain1"]) == "the time is over"
    clock.now -= 301
    limit = time_limit(5, clock.now, [*left, runs["tenth1"]])
    assert limit.refusal(runs["tenth1"]) is None
    assert limit.refusal(runs["plain1"])


def test_a_run_without_time_is_left_untouched(runs: dict[str, Run]) -> None:
    record = execute(runs["plain0"], Settings("data", limit=TimeLimit(0, 1)))
    assert (record["status"], record["error"]) == ("waiting", "the time is over")
    assert not runs["plain0"].folder.exists()


def test_a_cluster_without_a_place_is_not_waited_for(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("dermaseg_monai.studies.executors._LAST_WORDS_S", 0.0)
    trained(runs["wide0"], seconds=1, epochs=2, rest=None)
    settings = Settings("data", device="cpu", limit=TimeLimit(time.time(), time.time() + 8))
    chosen = [runs["plain0"], runs["wide0"]]
    ended = list(run_on_ray(chosen, settings, address=None, cpus=1000, gpus=None))
    assert [(run, record["status"]) for run, record in ended] == list(
        zip(chosen, ("waiting", "interrupted"), strict=True)
    )


ENDLESS = {"max_epochs": 10**6}


def test_what_would_not_end_in_time_is_left_for_the_next_command(tmp_path: Path) -> None:
    dataset, output = write_dataset(tmp_path / "discs"), tmp_path / "runs"
    variants = {"plain": {"max_epochs": 2}, "endless": ENDLESS}
    printed = finish(
        command(write_file(tmp_path, variants=variants, seeds=[0, 1]), dataset, output, "--minutes", 20),
        code=1,
    )
    assert "small/endless/seed0 is not started: it takes about" in printed
    assert "by runs of the same bundle" in printed
    assert "small: 2 of 4 runs are finished" in printed
    assert "not started, for lack of time: small/endless/seed0, small/endless/seed1\n" in printed
    assert printed.endswith("run the same command again to go on.\n")
    assert [status(output, "plain", seed) for seed in (0, 1)] == ["finished", "finished"]
    assert not (output / "small" / "endless" / "seed0").exists()


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_runs_side_by_side_are_interrupted_when_the_time_is_over(executor: str, tmp_path: Path) -> None:
    if executor == "ray":
        pytest.importorskip("ray")
    dataset, output = write_dataset(tmp_path / "discs"), tmp_path / "runs"
    study = write_file(tmp_path, variants={"endless": ENDLESS}, seeds=[0, 1, 2])
    words = ["--executor", executor, "--cpus_per_run", (os.cpu_count() or 1) / 2]
    begin = time.monotonic()
    printed = finish(command(study, dataset, output, *words, "--minutes", 0.75), code=1)
    # far from the twenty minutes of an endless run; Python and Ray take their time to start and end on slow machines
    assert time.monotonic() - begin < 45 + 240
    assert "small: 0 of 3 runs are finished" in printed
    assert "  interrupted: small/endless/seed0, small/endless/seed1\n" in printed
    assert "small/endless/seed2 is not started: the time is over" in printed
    for seed in (0, 1):
        folder = output / "small" / "endless" / f"seed{seed}"
        assert read_record(folder)["status"] == "interrupted"
        assert not is_locked(folder.with_name(f".seed{seed}.lock"))
    before = len(read_history(folder))
    process = start(command(study, dataset, output, *words, "--minutes", 20, "--seeds", 1))
    wait_until(lambda: len(read_history(folder)) > before, process)
    kill(process)

"""A whole batch: run, failed, killed, interrupted, two at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from dermaseg_monai.studies.lock import is_locked
from dermaseg_monai.studies.record import read_history, read_record
from tests.disc_dataset import write_dataset
from tests.studies.tiny_study import command, finish, kill, start, status, wait_until, write_file


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a batch whose second variant fails; tracked in MLflow."""
    folder = tmp_path_factory.mktemp("finished")
    bad = {"plain": {}, "bad": {"network_def#features": [4]}}
    printed = finish(
        command(
            write_file(folder, variants=bad), dataset, folder / "runs", "--epochs", 2, "--tracking", "mlflow"
        ),
        code=1,
    )
    assert "failed: small/bad/seed0" in printed
    return folder / "runs"


def test_run_folder_is_a_bundle_with_its_record(finished: Path, dataset: Path) -> None:
    folder = finished / "small" / "plain" / "seed0"
    record = read_record(folder)
    assert record["status"] == "finished"
    assert record["epochs"] == 2
    assert record["overrides"]["max_epochs"] == 2
    assert record["environment"]["packages"]["torch"]
    train = json.loads((folder / "configs" / "train.json").read_text())
    inference = json.loads((folder / "configs" / "inference.json").read_text())
    assert train["seed"] == 0
    assert train["network_def"]["features"] == inference["network_def"]["features"] == [4, 8]
    assert len(pd.read_csv(folder / "evaluation" / "metrics.csv")) == 4
    assert (folder / "output" / "tensorboard").is_dir()
    # the recorded command, as it stands, evaluates the run again to the same numbers
    before = (folder / "evaluation" / "metrics.csv").read_bytes()
    (folder / "evaluation" / "metrics.csv").unlink()
    again = record["commands"][1].replace("python", sys.executable, 1)
    subprocess.run(again, shell=True, cwd=folder, check=True, timeout=300, capture_output=True)
    assert (folder / "evaluation" / "metrics.csv").read_bytes() == before
    study = json.loads((finished / "small" / "study.json").read_text())
    assert [variant["name"] for variant in study["variants"]] == ["plain", "bad"]
    assert study["seeds"] == [0]


def test_failed_run_is_recorded_with_its_last_lines(finished: Path) -> None:
    record = read_record(finished / "small" / "bad" / "seed0")
    assert record["status"] == "failed"
    assert "features" in record["error"]


def test_finished_runs_are_skipped_and_other_settings_refused(finished: Path, dataset: Path) -> None:
    written = (finished / "small" / "plain" / "seed0" / "run.json").stat().st_mtime_ns
    study = finished.parent / "small.json"
    printed = finish(command(study, dataset, finished, "--epochs", 2, "--variants", "plain"))
    assert "1 of 1 runs are finished already" in printed
    assert (finished / "small" / "plain" / "seed0" / "run.json").stat().st_mtime_ns == written
    printed = finish(command(study, dataset, finished, "--epochs", 3, "--variants", "plain"), code=1)
    assert "has max_epochs 2, but it is to be 3" in printed


def test_mlflow_has_each_run_once(finished: Path, dataset: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    study = finished.parent / "small.json"
    finish(command(study, dataset, finished, "--epochs", 2, "--variants", "plain", "--tracking", "mlflow"))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{finished}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["bad/seed0", "plain/seed0"]
    assert len(client.search_runs([experiment.experiment_id])) == 2
    plain = runs["plain/seed0"]
    assert plain.data.params["max_epochs"] == "2"
    assert [point.step for point in client.get_metric_history(plain.info.run_id, "loss")] == [1, 2]
    table = pd.read_csv(finished / "small" / "plain" / "seed0" / "evaluation" / "metrics.csv")
    assert plain.data.metrics["test_dice"] == pytest.approx(table["dice"].mean(), abs=1e-6)


def test_killed_at_random_moments_it_loses_at_most_the_epoch_at_hand(dataset: Path, tmp_path: Path) -> None:
    epochs, kills, output = 25, 2, tmp_path / "runs"
    arguments = command(
        write_file(tmp_path), dataset, output, "--epochs", epochs, "--variants", "plain", "--seeds", 1
    )
    folder = output / "small" / "plain" / "seed1"
    chance = random.SystemRandom()
    for _ in range(kills):
        before = len(read_history(folder))
        process = start(arguments)
        wait_until(lambda seen=before: len(read_history(folder)) != seen, process)
        time.sleep(delay := chance.uniform(0, 0.5))
        kill(process)
        wait_until(lambda: not is_locked(folder.with_name(".seed1.lock")))  # the training went with the batch
        assert len(read_history(folder)) > before, f"killed after {delay:.2f} s"
        if not (folder / "models" / "last.pt").is_file():
            break  # the training was over
    assert read_record(folder)["status"] == "running"
    finish(arguments)
    assert status(output, "plain", seed=1) == "finished"
    assert [row["epoch"] for row in read_history(folder)] == list(range(1, epochs + 1))
    # only the epoch at hand when a kill came may have been trained twice
    assert (folder / "logs" / "training.log").read_text().count(": loss ") <= epochs + kills


def test_ctrl_c_ends_cleanly_and_two_batches_share_the_work(dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "runs"
    arguments = command(write_file(tmp_path), dataset, output, "--epochs", 2000)
    process = start(arguments)
    wait_until(lambda: read_history(output / "small" / "plain" / "seed0"), process)
    second = start([*arguments, "--variants", "plain"])
    printed = second.communicate(timeout=300)[0]
    assert second.returncode == 1
    assert "is being run by another batch" in printed
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    printed = process.communicate(timeout=120)[0]
    assert "Traceback" not in printed
    assert process.returncode != 0
    assert status(output, "plain") == "interrupted"
    assert not is_locked(output / "small" / "plain" / ".seed0.lock")

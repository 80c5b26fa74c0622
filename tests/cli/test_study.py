"""What ``dermaseg study run`` refuses before any run starts, and what it says in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dermaseg_monai.cli.study import run_study
from dermaseg_monai.studies.catalogue import get_study
from dermaseg_monai.studies.execute import Settings
from dermaseg_monai.studies.plan import Run, plan_runs
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_dataset
from tests.studies.tiny_study import write_file


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"executor": "nonsense"}, "there is no executor 'nonsense'; choose local or ray."),
        ({"tracking": "nonsense"}, "there is no tracking 'nonsense'; choose none or mlflow."),
        ({"gpus_per_run": 2}, "gpus_per_run is 2.0; give a share above 0, up to 1"),
        ({"gpus_per_run": "half"}, "--gpus_per_run is 'half'; give a number."),
        ({"cpus_per_run": 0}, "cpus_per_run is 0.0; give a number above 0, such as 2."),
        ({"minutes": 0}, "--minutes is 0.0; give the time that there is, such as 55."),
        ({"device": "cuda:99"}, "there is no device 'cuda:99' on this machine; give cpu"),
    ],
)
def test_wrong_options(dry_run: bool, options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    places = {"dataset_dir": str(dataset), "runs": str(tmp_path / "runs")}
    with pytest.raises(InputError) as caught:
        run_study(str(write_file(tmp_path)), dry_run=dry_run, **places, **options)
    assert str(caught.value).startswith(sentence)
    assert not (tmp_path / "runs").exists()


def test_several_studies_as_they_are_typed(tmp_path: Path) -> None:
    """Fire makes a tuple of names that commas join."""
    dataset = write_dataset(tmp_path / "discs")
    words = [
        "study",
        "run",
        "loss,learning_rate",
        "--rates",
        "1e-4 1e-3",
        "--seeds",
        "0",
        "--executor",
        "none",
    ]
    command = [sys.executable, "-m", "dermaseg_monai", *words, "--dataset_dir", str(dataset)]
    failed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert failed.stderr.strip() == "error: there is no executor 'none'; choose local or ray."
    words[2] = "loss,learning_rates"
    command = [sys.executable, "-m", "dermaseg_monai", *words, "--dataset_dir", str(dataset)]
    failed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "those of the study learning_rate, not of loss, learning_rates" in failed.stderr


def test_encoder_weights_of_a_whole_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None also fits the bundles that have no encoder; a file is found from each run's folder; a plan needs neither."""
    study = get_study("architecture")
    runs = plan_runs(study, tmp_path, seeds=[0], overrides={"encoder_weights": None})
    trains = {run.variant.bundle: json.loads(run.files()["configs/train.json"]) for run in runs}
    assert trains["lesion_deeplabv3"]["encoder_weights"] is None
    assert "encoder_weights" not in trains["lesion_unet"]
    with pytest.raises(InputError, match="the bundle has no id 'encoder_weights'"):
        plan_runs(study, tmp_path, overrides={"encoder_weights": "IMAGENET1K_V1"})

    monkeypatch.chdir(tmp_path)
    Path("weights.pth").touch()
    (run,) = plan_runs(
        study,
        tmp_path,
        seeds=[0],
        variants=["lesion_mobilenetv2_unet"],
        overrides={"encoder_weights": "weights.pth"},
    )
    assert json.loads(run.files()["configs/train.json"])["encoder_weights"] == str(tmp_path / "weights.pth")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr("torch.hub.download_url_to_file", None)
    run_study("architecture", seeds=0, variants="lesion_mobilenetv2_unet", dry_run=True, device="cpu")
    assert "known once a run has finished an epoch" in capsys.readouterr().out


def test_the_last_lines_name_what_is_left_of_each_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_dataset(tmp_path / "discs")
    for name in ("one", "two"):
        write_file(tmp_path, name=name).rename(tmp_path / f"{name}.json")
    statuses = {
        "one/plain/seed0": "finished",
        "one/tversky/seed0": "waiting",
        "two/plain/seed0": "waiting",
        "two/tversky/seed0": "interrupted",
    }

    def execute(run: Run, settings: Settings, children: Any) -> dict[str, Any]:
        return {"status": statuses[run.label], "error": "the time is over", "minutes": 1.0}

    monkeypatch.setattr("dermaseg_monai.studies.executors.execute", execute)
    studies = f"{tmp_path / 'one.json'},{tmp_path / 'two.json'}"
    with pytest.raises(SystemExit) as caught:
        run_study(studies, dataset_dir=str(dataset), runs=str(tmp_path / "runs"), device="cpu", minutes=5)
    assert capsys.readouterr().out == (
        f"one: 1 of 2 runs are finished, in {tmp_path}/runs/one\n"
        f"two: 0 of 2 runs are finished, in {tmp_path}/runs/two\n"
    )
    assert caught.value.code == (
        "not all is done:\n"
        "  interrupted: two/tversky/seed0\n"
        "  not started, for lack of time: one/tversky/seed0, two/plain/seed0\n"
        "run the same command again to go on."
    )
    assert all((tmp_path / "runs" / name / "study.json").is_file() for name in ("one", "two"))

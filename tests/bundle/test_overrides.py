"""A misspelt override is told; one that is read never is."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.bundle.config_ids import all_ids, unread_ids
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.bundle.overrides import warn_unknown_overrides
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_dataset
from tests.trainings import TINY_UNET, command, finish

CONFIGS = bundle_folder("lesion_unet") / "configs"


@pytest.fixture
def warned(monkeypatch, caplog):
    """What is warned of under this command line."""
    monkeypatch.delenv("RANK", raising=False)

    def call(*arguments: str, config: str = "train") -> list[str]:
        argv = ["/site/monai/bundle/__main__.py", "run", *arguments]
        if config:
            argv += ["--config_file", str(CONFIGS / f"{config}.json")]
        monkeypatch.setattr(sys, "argv", argv)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            warn_unknown_overrides()
        return [record.getMessage() for record in caplog.records if "changes nothing" in record.getMessage()]

    return call


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--max_epoch=5", "max_epochs"),
        ("--learning-rates=5", "learning_rate"),
        ("-batchsize=5", "batch_size"),
        ("--train#trainr#amp=1", "train#trainer#amp"),
        ("--train#dataloaders=1", "train#dataloader"),
    ],
)
def test_the_nearest_is_named(warned, argument: str, meant: str) -> None:
    (line,) = warned("training", argument)
    assert (
        line
        == f"{argument_name(argument)} changes nothing: the config has no such id; did you mean '{meant}'?"
    )


def argument_name(argument: str) -> str:
    return "--" + argument.lstrip("-").split("=")[0].replace("-", "_")


@pytest.mark.parametrize(
    "arguments",
    [
        ("training", "--max_epochs", "5", "--augment#shear=0.1", "--optimizer#betas", "[0.8,0.9]"),
        ("--run_id", "training", "--peak", "0.1", "--learning_rate", "@peak"),
        ("training", "--train#handlers#0#seed=3", "--logging_file", "x.conf", "--resume", "False"),
        ("training", "--tracking", "mlflow", "--experiment_name", "first"),
        ("training", "--dataset_dir", "-5", "--device", "$torch.device('cpu')"),
    ],
)
def test_what_is_read_is_not_told(warned, arguments: tuple[str, ...]) -> None:
    assert warned(*arguments) == []


@pytest.mark.parametrize("name", ["train", "inference"])
def test_no_id_of_a_config_is_told(name: str) -> None:
    config = json.loads((CONFIGS / f"{name}.json").read_text())
    assert unread_ids(config, dict.fromkeys(all_ids(config), 1)) == []


def test_overlays_and_argument_files(warned, tmp_path: Path) -> None:
    files = f"['{CONFIGS}/train.json','{CONFIGS}/evaluate.json']"
    assert warned("--config_file", files, "--validate#postprocessing#transforms#0#mode=a", config="") == []
    assert len(warned("--config_file", files, "--flip=[]", "--opened=1", "--closing=1", config="")) == 2
    arguments = tmp_path / "arguments.json"
    arguments.write_text(
        json.dumps(
            {
                "config_file": [str(CONFIGS / "train.json"), str(CONFIGS / "evaluate.json")],
                "sections": 1,
                "section": "test",
            }
        )
    )
    (line,) = warned("--args_file", str(arguments), config="")
    assert line.startswith("--sections ")
    assert line.endswith("'section'?")


def test_nothing_elsewhere(warned, monkeypatch, caplog) -> None:
    monkeypatch.setenv("RANK", "1")
    assert warned("--max_epoch=5") == []
    monkeypatch.setattr(sys, "argv", ["pytest", "--max_epoch=5"])
    warn_unknown_overrides()
    assert not caplog.records


def test_a_real_run_tells_at_its_start(tmp_path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    options: dict[str, Any] = {**TINY_UNET, "max_epochs": 1, "misspelt_id": 3, "batch_sizes": 9}
    printed = finish(command("lesion_unet", "training", dataset, tmp_path, "train", **options))
    first = printed.index("epoch 1/1")
    assert printed.count("changes nothing") == 2
    assert 0 < printed.index("--misspelt_id changes nothing: the config has no such id") < first
    assert (
        printed.index("--batch_sizes changes nothing: the config has no such id; did you mean 'batch_size'?")
        > 0
    )


def test_a_command_refuses(tmp_path) -> None:
    from dermaseg_monai.inference.predict import predict

    with pytest.raises(InputError, match=r"^the config has no id 'flip'; did you mean 'flips'\?$"):
        predict(tmp_path, tmp_path / "out", bundle="lesion_unet", ckpt_dir="models", flip=["horizontal"])


def test_a_real_run_takes_folders_by_the_very_name_typed(tmp_path) -> None:
    dataset = write_dataset(tmp_path / "discs").rename(tmp_path / "2024_03_04")
    arguments = command("lesion_unet", "training", dataset, tmp_path, "train", **TINY_UNET, max_epochs=1)
    arguments = [{str(dataset): "2024_03_04"}.get(argument, argument) for argument in arguments]
    process = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert (tmp_path / "models" / "model.pt").is_file()


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("image_size", 64, "--image_size is 64; give two whole numbers"),
        ("seed", "x", "--seed is 'x'; give a whole"),
    ],
)
def test_a_real_run_refuses_what_an_id_does_not_take(
    tmp_path, option: str, value: Any, sentence: str
) -> None:
    options = {**TINY_UNET, option: value}
    arguments = command("lesion_unet", "training", tmp_path / "nowhere", tmp_path, "train", **options)
    process = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1].startswith(f"error: {sentence}")
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("way", "written"), [("args_file", {"max_epochs": 0}), ("config_file", {"aspect": "crop"})]
)
def test_a_real_run_refuses_the_same_in_a_file(tmp_path, way: str, written: dict[str, Any]) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(written))
    arguments = command("lesion_unet", "training", tmp_path / "nowhere", tmp_path, "train", **TINY_UNET)
    if way == "args_file":
        arguments += ["--args_file", str(file)]
    else:
        place = arguments.index("--config_file") + 1
        arguments[place] = arguments[place].replace("]", f",'{file}']")
    process = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert process.returncode == 1
    ((name, value),) = written.items()
    assert process.stderr.strip().splitlines()[-1].startswith(f"error: --{name} is {value!r}; give ")
    assert "Traceback" not in process.stderr


def test_a_folder_in_an_argument_file_may_be_at_home(tmp_path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    file = tmp_path / "arguments.json"
    file.write_text(json.dumps({**TINY_UNET, "max_epochs": 1, "dataset_dir": "~/discs"}))
    arguments = command("lesion_unet", "training", dataset, tmp_path, "train")
    place = arguments.index("--dataset_dir")
    arguments = [*arguments[:place], *arguments[place + 2 :], "--args_file", str(file)]
    process = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert (tmp_path / "models" / "model.pt").is_file()

"""The prior of attribute bundles, in trainings as they run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from PIL import Image

from dermaseg_monai.utils.errors import find_input_error
from tests.trainings import (
    SETTINGS,
    TINY_UNET,
    command,
    config_files,
    finish,
    folders_of,
    history,
    train,
    two_processes,
)

BUNDLE = "attribute_unet"
RECIPE: dict[str, Any] = {**TINY_UNET, "max_epochs": 2}


@pytest.fixture(scope="module")
def squares(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms at the size of the runs, at which no mask is resized any more."""
    folder = tmp_path_factory.mktemp("squares")
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns("cache"), dirs_exist_ok=True)
    for path in [*folder.rglob("*.jpg"), *folder.rglob("*.png")]:
        Image.open(path).resize(SETTINGS["image_size"], Image.Resampling.NEAREST).save(path)
    return folder


@pytest.fixture(scope="module")
def expected(squares: Path) -> torch.Tensor:
    """Logits of the shares, counted in the training section's files."""
    items = json.loads((squares / "datalist.json").read_text())["training"]
    masks = np.array(
        [[np.asarray(Image.open(squares / path)) >= 128 for path in item["attributes"]] for item in items]
    )
    share = (masks.sum(axis=(0, 2, 3)) + 1) / (masks[:, 0].size + 2)
    assert (share < 0.2).all()
    return torch.from_numpy(np.log(share / (1 - share))).float()


def begun(dataset: Path, scratch: Path, *configs: str, **overrides: Any) -> ConfigWorkflow:
    """A training that is about to run."""
    workflow = ConfigWorkflow(
        config_file=config_files(BUNDLE, *configs),
        workflow_type="train",
        run_id="training",
        logging_file=False,
        **{**folders_of(dataset, scratch), **SETTINGS, **RECIPE, **overrides},
    )
    workflow.initialize()
    return workflow


@pytest.mark.parametrize(
    "configs", [("train",), ("train", "dictionary_train")], ids=["resident", "dictionary"]
)
def test_training_starts_from_the_shares_of_the_masks_before_augmentation(
    squares: Path, tmp_path: Path, expected: torch.Tensor, configs: tuple[str, ...]
) -> None:
    workers = {"num_workers": 0} if len(configs) > 1 else {}
    parser = begun(squares, tmp_path, *configs, **workers).parser
    torch.testing.assert_close(parser.get_parsed_content("network").head.bias, expected)
    torch.testing.assert_close(parser.get_parsed_content("average").module.head.bias, expected)


def test_one_id_switches_it_off(squares: Path, tmp_path: Path) -> None:
    parser = begun(squares, tmp_path, "train", attribute_prior="False").parser
    assert not parser.get_parsed_content("network").head.bias.any()


def test_two_processes_start_alike(squares: Path, tmp_path: Path, expected: torch.Tensor) -> None:
    overlay = tmp_path / "overlay.json"
    bias_file = "pathlib.Path(@output_dir, f'{dist.get_rank()}.json')"
    changes = {
        "+imports": ["$import json", "$import pathlib"],
        "training": [
            "$os.makedirs(@output_dir, exist_ok=True)",
            f"${bias_file}.write_text(json.dumps(@network.module.head.bias.tolist()))",
        ],
    }
    overlay.write_text(json.dumps(changes))
    names = ("train", "multi_gpu_train", str(overlay))
    finish(command(BUNDLE, "training", squares, tmp_path, *names, **RECIPE), *two_processes())
    for rank in range(2):
        bias = json.loads((tmp_path / "output" / f"{rank}.json").read_text())
        torch.testing.assert_close(torch.tensor(bias), expected)


def test_a_resumed_training_goes_on_from_its_own_bias(squares: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(BUNDLE, squares, whole, **RECIPE)
    workflow = begun(squares, parts, "train")
    trainer = workflow.parser.get_parsed_content("train#trainer")

    def interrupt(engine: Any) -> None:
        raise KeyboardInterrupt

    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=1), interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    with pytest.raises(RuntimeError) as raised:
        train(BUNDLE, squares, parts, attribute_prior=False, **RECIPE)
    assert "attribute_prior (now false, then true)" in str(find_input_error(raised.value))
    train(BUNDLE, squares, parts, **RECIPE)
    pd.testing.assert_frame_equal(history(parts), history(whole))
    first, second = (
        torch.load(scratch / "models" / "model.pt", weights_only=True) for scratch in (whole, parts)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)

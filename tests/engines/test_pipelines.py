"""The ways to run one training - resident, by dictionary transforms, by two processes - agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.disc_dataset import SECTIONS, write_dataset
from tests.trainings import TINY_UNET, command, finish, history, train, two_processes

NEUTRAL: dict[str, Any] = {
    "augment#flip": False,
    "augment#rotate": 0,
    "augment#scale": [1.0, 1.0],
    "augment#shift": 0.0,
    "augment#brightness": 0.0,
    "augment#contrast": 0.0,
    "augment#saturation": 0.0,
}
SCORES = ["val_threshold_jaccard", "val_dice", "val_jaccard", "val_accuracy"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("discs"))


def scores(folder: Path) -> pd.DataFrame:
    return history(folder).astype(float)


def test_dictionary_transforms_give_the_resident_scores(dataset: Path, tmp_path: Path) -> None:
    # one batch of all images: the two pipelines shuffle differently, and a sum does not mind
    overrides = {**TINY_UNET, **NEUTRAL, "batch_size": 8, "max_epochs": 12}
    train("lesion_unet", dataset, tmp_path / "resident", **overrides)
    train(
        "lesion_unet",
        dataset,
        tmp_path / "dictionary",
        "train",
        "dictionary_train",
        num_workers=0,
        **overrides,
    )
    resident, dictionary = scores(tmp_path / "resident"), scores(tmp_path / "dictionary")
    assert resident.columns.tolist() == dictionary.columns.tolist()
    assert resident["val_accuracy"].nunique() > 1
    np.testing.assert_allclose(dictionary.iloc[0], resident.iloc[0], atol=1e-5)
    np.testing.assert_allclose(dictionary, resident, atol=0.02)
    assert (tmp_path / "dictionary" / "output" / "panel.png").is_file()


def test_dictionary_transforms_augment_reproducibly(dataset: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        train(
            "lesion_unet",
            dataset,
            tmp_path / name,
            "train",
            "dictionary_train",
            num_workers=0,
            max_epochs=2,
            **TINY_UNET,
        )
    pd.testing.assert_frame_equal(history(tmp_path / "one"), history(tmp_path / "other"))


@pytest.fixture(scope="module")
def by_two(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training by two processes that also leaves each one's last validation and the network it was of."""
    folder = tmp_path_factory.mktemp("by_two")
    overlay = folder / "overlay.json"
    scores_file = "pathlib.Path(@output_dir, f'scores{dist.get_rank()}.json')"
    leave = f"${scores_file}.write_text(json.dumps(@validate#evaluator.state.metrics))"
    save = "$dist.get_rank() or torch.save(@network.module.state_dict(), @output_dir + '/last_network.pt')"
    changes = {
        "+imports": ["$import json", "$import pathlib"],
        "training": ["$@train#trainer.run()", leave, save],
    }
    overlay.write_text(json.dumps(changes))
    names = ("train", "multi_gpu_train", str(overlay))
    settings = {**TINY_UNET, "batch_size": 2, "max_epochs": 3}
    settings |= {"device": "$torch.device('cpu')"}
    finish(command("lesion_unet", "training", dataset, folder, *names, **settings), *two_processes())
    return folder


def test_two_processes_train(by_two: Path) -> None:
    table = scores(by_two)
    assert table["epoch"].tolist() == [1, 2, 3]
    assert np.isfinite(table.to_numpy()).all()
    assert table["loss"].iloc[-1] < table["loss"].iloc[0]
    assert sorted(path.name for path in (by_two / "models").iterdir()) == ["model.pt"]
    assert {"curves.png", "panel.png"} <= {path.name for path in (by_two / "output").iterdir()}


def test_two_processes_score_as_one(dataset: Path, by_two: Path, tmp_path: Path) -> None:
    """The network of the last epoch, validated by one process, gets the scores that both processes saw."""
    # a training of nothing: its validator sees the stored weights
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps({"training": ["$@validate#evaluator.run()"]}))
    stored = str(by_two / "output" / "last_network.pt")
    workflow = train(
        "lesion_unet", dataset, tmp_path, "train", str(overlay), **TINY_UNET,
        network=f"$weights.load_weights(@network_def, '{stored}').to(@device)",
    )  # fmt: skip
    alone = workflow.parser.get_parsed_content("validate#evaluator").state.metrics
    assert len(alone) == 4
    assert 0 < alone["dice"] < 1
    for rank in range(2):
        both = json.loads((by_two / "output" / f"scores{rank}.json").read_text())
        assert both == pytest.approx(alone, abs=1e-12)


def test_two_processes_evaluate_as_one(dataset: Path, by_two: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.json"
    overlay.write_text(
        json.dumps(
            {
                "+imports": ["$import torch.distributed as dist"],
                "initialize": ["$dist.init_process_group('gloo')"],
                "finalize": ["$dist.destroy_process_group()"],
            }
        )
    )
    settings = {"ckpt_dir": str(by_two / "models"), **TINY_UNET, "batch_size": 2}
    alone, both = tmp_path / "alone", tmp_path / "both"
    finish(
        command("lesion_unet", "evaluating", dataset, both, "train", "evaluate", str(overlay), **settings),
        *two_processes(),
    )
    train("lesion_unet", dataset, alone, "train", "evaluate", run_id="evaluating", **settings)
    tables = [(folder / "output" / "metrics.csv").read_text() for folder in (alone, both)]
    assert tables[0] == tables[1]
    assert len(pd.read_csv(both / "output" / "metrics.csv")) == SECTIONS["test"]
    summaries = [json.loads((folder / "output" / "summary.json").read_text()) for folder in (alone, both)]
    assert summaries[0]["metrics"] == summaries[1]["metrics"]
    for mask in (alone / "output" / "masks").iterdir():
        assert mask.read_bytes() == (both / "output" / "masks" / mask.name).read_bytes()
    assert torch.distributed.is_initialized() is False

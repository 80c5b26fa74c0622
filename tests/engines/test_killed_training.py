"""A training killed without warning and started again ends like one that was never stopped."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.disc_dataset import write_dataset
from tests.sam.helpers import TINY
from tests.trainings import TINY_UNET, command, history, start, train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("discs"))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def kill_while_training(arguments: list[str], folder: Path, epochs: int) -> str:
    """Start a training and kill it at a random moment after one of its first epochs."""
    chance = random.SystemRandom()
    epoch, delay = chance.randint(1, epochs // 2), chance.uniform(0, 0.1)
    process = start(arguments)
    deadline = time.monotonic() + 900
    while epochs_of(folder) < epoch and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    return f"killed {delay:.3f} s after epoch {epoch}: {process.communicate()[0][-2000:]}"


def epochs_of(folder: Path) -> int:
    """How many epochs history.csv has."""
    table = folder / "output" / "history.csv"
    return table.read_text().count("\n") - 1 if table.is_file() else 0


@pytest.mark.parametrize(
    ("bundle", "epochs", "overrides"),
    [
        ("lesion_unet", 40, TINY_UNET),
        # one cycle, a step per iteration; averaged weights
        ("lesion_mobilenetv2_unet", 6, {"image_size": [64, 64], "encoder_weights": "$None"}),
        # embeddings on disk, a frozen encoder
        (
            "lesion_sam",
            8,
            {"network_def#architecture": TINY, "sam": "$@network_def.to(@device)", "learning_rate": 0.003},
        ),
    ],
)
def test_it_ends_the_same(
    bundle: str, epochs: int, overrides: dict[str, Any], dataset: Path, tmp_path: Path
) -> None:
    overrides = {**overrides, "max_epochs": epochs}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(bundle, dataset, whole, **overrides)
    when = kill_while_training(
        command(bundle, "training", dataset, parts, "train", **overrides), parts, epochs
    )
    assert 1 <= epochs_of(parts) < epochs, when
    assert (parts / "models" / "model.pt").is_file() or epochs_of(parts) == 1, when
    # the pretrained weights are not asked for again, once an epoch is stored
    if "encoder_weights" in overrides and (parts / "models" / "last.pt").is_file():
        overrides["encoder_weights"] = "/no/longer/there.pth"
    workflow = train(bundle, dataset, parts, **overrides)
    assert len(workflow.parser.get_parsed_content("train#trainer").state.history) == epochs
    assert not (parts / "models" / "last.pt").exists()

    table = history(whole)
    assert table["epoch"].tolist() == [str(epoch) for epoch in range(1, epochs + 1)]
    assert table["val_dice"].nunique() > 3  # it did learn, so there is something to compare
    pd.testing.assert_frame_equal(history(parts), table, obj=when)
    expected, weights = (
        torch.load(folder / "models" / "model.pt", weights_only=True) for folder in (whole, parts)
    )
    assert expected.keys() == weights.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), f"{name}; {when}"

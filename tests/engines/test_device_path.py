"""The ways a training can go on a device give the same losses: precision, CUDA graph, data in reach or streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tests.disc_dataset import write_dataset
from tests.trainings import TINY_UNET, train

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DEVICES = ["cpu", pytest.param("cuda:0", marks=on_a_gpu)]


def losses(dataset: Path, folder: Path, device: str, **settings: Any) -> list[float]:
    settings = {"device": f"$torch.device('{device}')", "max_epochs": 4, **TINY_UNET, **settings}
    train("lesion_unet", dataset, folder, **settings)
    return list(pd.read_csv(folder / "output" / "history.csv")["loss"])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"cuda_graph": True}, 0.02),
        ({"train#dataset#budget": 0.0, "validate#dataset#budget": 0.0}, 0.02),
        ({"amp": "bfloat16"}, 0.05),
        ({"amp": "bfloat16", "cuda_graph": True}, 0.05),
        ({"amp": "float16"}, 0.05),
        ({"amp": "float16", "cuda_graph": True}, 0.05),
    ],
    ids=["graph", "streamed", "bfloat16", "bfloat16 and graph", "float16", "float16 and graph"],
)
def test_losses_agree(device: str, settings: dict[str, Any], tolerance: float, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    plain = losses(dataset, tmp_path / "plain", device, cuda_graph=False)
    assert losses(dataset, tmp_path / "other", device, **{"cuda_graph": False, **settings}) == pytest.approx(
        plain, rel=tolerance
    )

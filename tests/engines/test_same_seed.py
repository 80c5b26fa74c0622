"""Two trainings of one seed: how far apart they may be, where sums have no fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.disc_dataset import write_dataset
from tests.trainings import TINY_UNET, train


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def losses(dataset: Path, folder: Path, device: str) -> list[float]:
    settings = {"device": f"$torch.device('{device}')", "max_epochs": 3}
    train("lesion_unet", dataset, folder, **settings, **TINY_UNET)
    return list(pd.read_csv(folder / "output" / "history.csv")["loss"])


def test_another_number_of_threads(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    curves = []
    for number in (1, 2):
        torch.set_num_threads(number)
        curves.append(losses(dataset, tmp_path / str(number), "cpu"))
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_twice_on_a_gpu(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    first, second = (losses(dataset, tmp_path / name, "cuda:0") for name in ("first", "second"))
    assert first == pytest.approx(second, rel=0.02)

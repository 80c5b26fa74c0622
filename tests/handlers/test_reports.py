"""Reports of trainings and evaluations: whose photos they show, with which masks."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine
from monai.inferers import SimpleInferer
from PIL import Image

from dermaseg_monai.handlers import EvaluationReport, TrainingReport, training_report
from dermaseg_monai.transforms import write_mask
from dermaseg_monai.visualize import Case
from tests.disc_dataset import write_discs


def test_evaluation_report_reads_the_saved_masks(tmp_path) -> None:
    data = write_discs(tmp_path / "photos", 3)
    for item in data:
        write_mask(
            np.asarray(Image.open(item["label"])) > 0, tmp_path / "masks" / f"{item['id']}_segmentation.png"
        )
    pd.DataFrame({"id": [item["id"] for item in data], "dice": [0.1, 0.9, 0.5]}).to_csv(
        tmp_path / "metrics.csv"
    )
    engine = Engine(lambda engine, batch: None)
    EvaluationReport(tmp_path, data).attach(engine)
    engine.run([0])
    assert Image.open(tmp_path / "panel.png").size[0] > 500


class Brightness(torch.nn.Module):
    """Finds what is dark; its one weight is the level."""

    def __init__(self) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.level - image.mean(1, keepdim=True)


@pytest.mark.parametrize("share", [slice(None), slice(1, None, 2)])
def test_training_report_titles_belong_to_their_photos(tmp_path, monkeypatch, share) -> None:
    """Also where this process has only every second item."""
    names = [f"photo_{n}" for n in range(8)]
    images = torch.linspace(-1, 1, 8)[:, None, None, None].expand(8, 3, 6, 6).clone()
    images[:, :, :3] = -2
    labels = torch.zeros(8, 1, 6, 6)
    for number in range(8):
        labels[number, :, : number % 6 + 1] = 1
    mine = torch.arange(8)[share]

    class Loader:
        batch_size = 3
        dataset = SimpleNamespace(data=[{"image": f"/somewhere/{name}.jpg"} for name in names])

        def __iter__(self):
            for index in mine.split(3):
                yield {"image": images[index], "label": labels[index], "index": index}

    network = Brightness()
    validator = SimpleNamespace(network=network, inferer=SimpleInferer(), data_loader=Loader())
    torch.save({"level": torch.tensor(-1.5)}, tmp_path / "model.pt")
    drawn: list[Case] = []
    monkeypatch.setattr(training_report, "draw_panel", lambda cases, path: drawn.extend(cases))
    engine = Engine(lambda engine, batch: None)
    engine.state.device = torch.device("cpu")
    engine.state.history = [{"epoch": 1, "loss": 1.0, "learning_rate": 0.1}]
    TrainingReport(tmp_path, tmp_path / "out", validator).attach(engine)
    engine.run([0])
    assert os.listdir(tmp_path / "out") == ["curves.png"]
    assert network.level == 0  # the running network is left as it is
    assert 4 <= len(drawn) <= 6
    for case in drawn:
        kind, name = case.title.split(",")[0].split(": ")
        number = names.index(name)
        assert kind in ("best", "median", "worst")
        assert number in mine
        np.testing.assert_array_equal(case.truth, labels[number, 0].numpy() > 0)
        np.testing.assert_array_equal(case.prediction, images[number, 0].numpy() < -1.5)
        overlap = 2 * (case.truth & case.prediction).sum() / (case.truth.sum() + case.prediction.sum())
        assert case.title.endswith(f"Dice {overlap:.3f}")


def test_training_report_without_weights_draws_the_curves(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    engine.state.history = [{"epoch": 1, "loss": 1.0, "learning_rate": 0.1}]
    TrainingReport(tmp_path, tmp_path, SimpleNamespace()).attach(engine)
    engine.run([0])
    assert os.listdir(tmp_path) == ["curves.png"]

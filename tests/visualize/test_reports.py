"""Pictures hold what they should, where they should."""

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
from dermaseg_monai.visualize import Case, draw_panel, plot_curves, spread
from dermaseg_monai.visualize.overlay import draw_overlay
from tests.disc_dataset import write_discs

SIX = ["best", "best", "median", "median", "worst", "worst"]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], []),
        ([0.5], [("best", 0)]),
        ([0.1, 0.9], [("best", 1), ("best", 0)]),
        ([0.1, 0.9, 0.5], [("best", 1), ("best", 2), ("worst", 0)]),
        ([0.1, 0.9, 0.5, 0.7, 0.3], [("best", 1), ("best", 3), ("median", 2), ("worst", 0), ("worst", 4)]),
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], list(zip(SIX, [0, 1, 2, 3, 5, 4], strict=True))),
        ([1.0] * 9, list(zip(SIX, [0, 1, 3, 4, 8, 7], strict=True))),
    ],
)  # fmt: skip
def test_spread(scores, expected) -> None:
    assert spread(scores) == expected


def test_curves_are_drawn_with_gaps_and_without_scores(tmp_path) -> None:
    history = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "learning_rate": [0.1, 0.01]})
    plot_curves(history, tmp_path / "plain.png")
    plot_curves(
        history.assign(val_dice=[np.nan, 0.5], train_dice=[0.1, 0.2]), tmp_path / "new" / "scored.png"
    )
    plain, scored = (np.asarray(Image.open(tmp_path / name)) for name in ("plain.png", "new/scored.png"))
    assert plain.shape == scored.shape
    assert (plain != scored).any()


def disc(size: int = 60) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - 30) ** 2 + (columns - 25) ** 2 < 15**2


def test_panel_outlines_both_masks(tmp_path) -> None:
    image = np.full((60, 60, 3), 128, np.uint8)
    empty = np.zeros((60, 60), bool)
    shown = {}
    for name, truth, prediction in (
        ("none", empty, ~empty),
        ("truth", disc(), empty),
        ("both", disc(), disc()[::-1, ::-1]),
    ):
        draw_panel([Case(name, image, truth, prediction)] * 3, tmp_path / f"{name}.png")
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
        cyan = (abs(pixels - (0, 229, 255)) < 30).all(axis=2).sum()
        yellow = (abs(pixels - (255, 214, 0)) < 30).all(axis=2).sum()
        shown[name] = (cyan, yellow)
    assert shown["truth"][0] > 2 * shown["none"][0]  # the legend has some of each colour
    assert shown["truth"][1] == shown["none"][1]
    assert shown["both"][1] > 2 * shown["none"][1]


@pytest.mark.parametrize("size", [(60, 60), (2000, 1000)])
def test_overlay_draws_a_ring_inside_the_edge(tmp_path, size) -> None:
    photo = np.full((*size, 3), 60, np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 1
    draw_overlay(photo, mask, tmp_path / "new" / "overlay.jpg")
    image = Image.open(tmp_path / "new" / "overlay.jpg")
    assert max(image.size) == min(max(size), 1600)
    yellow = np.asarray(image).astype(int)[..., 0] > 150
    rows, columns = yellow.nonzero()
    height, width = yellow.shape
    assert (rows.min() / height, columns.min() / width) == pytest.approx((0.25, 0.25), abs=0.03)
    assert (rows.max() / height, columns.max() / width) == pytest.approx((0.5, 0.5), abs=0.03)
    assert not yellow[round(height * 0.375), round(width * 0.375)]


def test_overlay_of_an_empty_mask_is_the_photo(tmp_path) -> None:
    draw_overlay(np.full((40, 40, 3), 60, np.uint8), np.zeros((40, 40)), tmp_path / "overlay.jpg")
    assert abs(np.asarray(Image.open(tmp_path / "overlay.jpg")).astype(int) - 60).max() <= 2


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

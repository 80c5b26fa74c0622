"""Agreement with the official scorer, through the PNG files that it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermaseg_monai.metrics import METRICS, SegmentationMetric, aggregate, confusion_counts, pooled
from tests.metrics.reference import mask_pairs

pytest.importorskip("isic_challenge_scoring")

from isic_challenge_scoring import SegmentationScore, metrics, task2
from isic_challenge_scoring.confusion import create_binary_confusion_matrix

ATTRIBUTES = ["pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules"]


def folders(root: Path) -> tuple[Path, Path]:
    truth, prediction = root / "truth", root / "prediction"
    truth.mkdir()
    prediction.mkdir()
    return truth, prediction


def write(mask: np.ndarray, path: Path) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def test_task_1_per_image():
    pairs = mask_pairs(500, seed=5)
    for prediction, target in pairs:
        official = create_binary_confusion_matrix(target, prediction)
        counts = confusion_counts(
            torch.from_numpy(prediction)[None, None], torch.from_numpy(target)[None, None]
        )
        for name, metric in METRICS.items():
            expected = getattr(metrics, f"binary_{name}")(official)
            assert metric(counts).item() == pytest.approx(expected, abs=1e-12), name


def test_task_1_folder(tmp_path):
    pairs = mask_pairs(200, seed=6)
    truth_folder, prediction_folder = folders(tmp_path)
    for index, (prediction, target) in enumerate(pairs):
        write(prediction, prediction_folder / f"ISIC_{index:07d}_segmentation.png")
        write(target, truth_folder / f"ISIC_{index:07d}_segmentation.png")
    official = SegmentationScore.from_dir(truth_folder, prediction_folder)
    for name in METRICS:
        metric = SegmentationMetric(name)
        metric(
            [torch.from_numpy(prediction)[None] for prediction, _ in pairs],
            [torch.from_numpy(target)[None] for _, target in pairs],
        )
        assert metric.aggregate().item() == pytest.approx(official.macro_average.at[name], abs=1e-6)
    assert 0 < official.overall < 1


@pytest.mark.parametrize("absent", ["nowhere", "in the truth", "in both"])
def test_task_2_folder(tmp_path, absent):
    generator = np.random.default_rng(7)
    truth_folder, prediction_folder = folders(tmp_path)
    counts = []
    for image in range(20):
        shape = (5, *generator.integers(4, 40, size=2))
        target = generator.random(shape) < generator.choice([0, 0, 0.05, 0.6, 1], size=(5, 1, 1))
        prediction = target ^ (generator.random(shape) < generator.choice([0, 0.03, 0.3], size=(5, 1, 1)))
        if absent != "nowhere":
            target[2] = False
        if absent == "in both":
            prediction[2] = False
        for channel, attribute in enumerate(ATTRIBUTES):
            name = f"ISIC_{image:07d}_attribute_{attribute}.png"
            write(prediction[channel], prediction_folder / name)
            write(target[channel], truth_folder / name)
        counts.append(confusion_counts(torch.from_numpy(prediction)[None], torch.from_numpy(target)[None]))
    official = task2.score(truth_folder, prediction_folder)
    together = torch.cat(counts)
    for name in ("jaccard", "dice"):
        expected = [official[attribute][name] for attribute in ATTRIBUTES]
        assert pooled(together, name).tolist() == pytest.approx(expected, abs=1e-9)
        micro = aggregate(together, name, "pooled_micro").item()
        assert micro == pytest.approx(official["micro_average"][name], abs=1e-9)
    assert {"nowhere": 0 < expected[2] < 1, "in the truth": expected[2] == 0, "in both": expected[2] == 1}[
        absent
    ]

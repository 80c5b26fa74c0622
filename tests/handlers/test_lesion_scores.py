"""Scores against what is worked out by hand from the files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine
from isic_challenge_scoring import SegmentationScore
from monai.data import MetaTensor
from PIL import Image

from dermaseg_monai.handlers import LesionScores
from dermaseg_monai.metrics import BOUNDARY_METRICS, METRICS, boundary_scores
from dermaseg_monai.transforms import write_mask

SIZES = [(20, 30), (41, 17), (32, 32), (10, 12), (25, 25)]


def cases() -> list[tuple[np.ndarray, np.ndarray]]:
    """Truth and prediction: overlapping at random, equal, disjoint, both empty, and a missed lesion."""
    rng = np.random.default_rng(0)
    pairs = [(rng.random(size) < 0.4, rng.random(size) < 0.5) for size in SIZES]
    pairs[0] = (pairs[0][0], pairs[0][0] | (rng.random(SIZES[0]) < 0.1))
    pairs[1] = (pairs[1][0], pairs[1][0])
    pairs[3] = (np.zeros(SIZES[3], bool), np.zeros(SIZES[3], bool))
    pairs[4] = (pairs[4][0], np.zeros(SIZES[4], bool))
    return pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of the cases in two batches, ids out of order."""
    folder = tmp_path_factory.mktemp("evaluation")
    items: list[dict[str, Any]] = []
    for number, (truth, prediction) in enumerate(cases()):
        name = f"ISIC_{9 - number:07d}"
        write_mask(truth, folder / "truth" / f"{name}_segmentation.png")
        write_mask(prediction, folder / "masks" / f"{name}_segmentation.png")
        pred, label = (torch.from_numpy(mask.astype(np.uint8))[None] for mask in (prediction, truth))
        items.append({"id": name, "pred": MetaTensor(pred), "label": label})
    loader = SimpleNamespace(failures=[{"id": "bad", "image": "bad.jpg", "reason": "damaged."}])
    engine = Engine(lambda engine, batch: {})
    LesionScores(folder / "out", loader, {"threshold": 0.5, "weights": Path("model.pt")}).attach(engine)
    engine.run([items[:2], items[2:]])
    (folder / "state.json").write_text(json.dumps(engine.state.metrics))
    return folder


def by_hand(folder: Path) -> dict[str, dict[str, float]]:
    scores = {}
    for path in sorted((folder / "truth").iterdir()):
        truth, mask = (
            np.asarray(Image.open(folder / kind / path.name)) >= 128 for kind in ("truth", "masks")
        )
        tp, fp, fn, tn = (
            (truth & mask).sum(),
            (~truth & mask).sum(),
            (truth & ~mask).sum(),
            (~truth & ~mask).sum(),
        )
        jaccard = tp / (tp + fp + fn) if tp + fp + fn else 1.0
        scores[path.name.removesuffix("_segmentation.png")] = {
            "dice": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0,
            "jaccard": jaccard,
            "threshold_jaccard": jaccard if jaccard >= 0.65 else 0.0,
            "accuracy": (tp + tn) / truth.size,
            "sensitivity": tp / (tp + fn) if tp + fn else 1.0,
            "specificity": tn / (tn + fp) if tn + fp else 1.0,
        }
    return scores


def test_rows_are_those_worked_out_from_the_pngs(folder) -> None:
    table = pd.read_csv(folder / "out" / "metrics.csv", dtype={"id": str}).set_index("id")
    expected = pd.DataFrame(by_hand(folder)).T
    assert table.index.tolist() == sorted(table.index)
    assert table.columns.tolist() == [*METRICS, *BOUNDARY_METRICS]
    table = table[list(METRICS)]
    pd.testing.assert_frame_equal(table, expected, check_names=False, atol=1e-6, check_dtype=False)


def test_summary_is_mean_and_deviation(folder) -> None:
    summary = json.loads((folder / "out" / "summary.json").read_text())
    expected = pd.DataFrame(by_hand(folder)).T
    state = json.loads((folder / "state.json").read_text())
    assert summary["images"] == 5
    assert summary["failures"] == [{"id": "bad", "image": "bad.jpg", "reason": "damaged."}]
    assert summary["settings"] == {
        "threshold": 0.5,
        "weights": "model.pt",
        "surface_tolerance": 0.01,
        "pixels_per_mm": None,
    }
    table = pd.read_csv(folder / "out" / "metrics.csv")
    assert list(summary["metrics"]) == [*METRICS, *BOUNDARY_METRICS]
    for name in BOUNDARY_METRICS:
        expected[name] = table[name].to_numpy()
    for name in expected:
        assert summary["metrics"][name]["mean"] == pytest.approx(expected[name].mean(), abs=1e-6)
        assert summary["metrics"][name]["sd"] == pytest.approx(np.std(expected[name], ddof=1), abs=1e-6)
        assert state[name] == pytest.approx(expected[name].mean(), abs=1e-12 if name in METRICS else 1e-6)


def test_distances_between_the_boundaries_of_the_pngs(folder, tmp_path) -> None:
    table = pd.read_csv(folder / "out" / "metrics.csv").set_index("id")
    for path in sorted((folder / "truth").iterdir()):
        truth, mask = (
            np.asarray(Image.open(folder / kind / path.name)) >= 128 for kind in ("truth", "masks")
        )
        row = table.loc[path.name.removesuffix("_segmentation.png"), list(BOUNDARY_METRICS)]
        assert row.to_dict() == pytest.approx(boundary_scores(mask, truth), abs=1e-6)
    # another tolerance, and the distances in mm
    engine = Engine(lambda engine, batch: {})
    masks = [torch.zeros(1, 8, 6, dtype=torch.uint8) for _ in range(2)]
    masks[0][0, 1, 1] = masks[1][0, 5, 4] = 1
    item = {"id": "one", "pred": masks[0], "label": masks[1]}
    LesionScores(tmp_path, SimpleNamespace(failures=[]), {}, surface_tolerance=0.5, pixels_per_mm=10).attach(
        engine
    )
    engine.run([[item]])
    scores = pd.read_csv(tmp_path / "metrics.csv").iloc[0]
    assert (scores["surface_dice"], scores["hd95_mm"], scores["assd_mm"]) == (1, 0.5, 0.5)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["metrics"]["hd95_mm"] == {"mean": 0.5, "sd": 0.0}
    assert summary["settings"] == {"surface_tolerance": 0.5, "pixels_per_mm": 10}


def test_the_challenges_own_scorer_agrees(folder) -> None:
    official = SegmentationScore.from_dir(folder / "truth", folder / "masks").macro_average
    means = json.loads((folder / "out" / "summary.json").read_text())["metrics"]
    for name in ("dice", "jaccard", "threshold_jaccard", "accuracy", "sensitivity", "specificity"):
        assert means[name]["mean"] == pytest.approx(official[name], abs=1e-6), name


def test_one_image_has_no_deviation(tmp_path) -> None:
    engine = Engine(lambda engine, batch: {})
    mask = torch.ones(1, 4, 4, dtype=torch.uint8)
    LesionScores(tmp_path, SimpleNamespace(failures=[]), {}).attach(engine)
    engine.run([[{"id": "one", "pred": mask, "label": mask}]])
    assert json.loads((tmp_path / "summary.json").read_text())["metrics"]["dice"] == {"mean": 1.0, "sd": 0.0}

"""A row of measurements for each photo, and the list of what failed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from dermaseg_monai.handlers import PredictionTable
from dermaseg_monai.transforms import MeasureMaskd


def summarised(folder: Path, masks: dict[str, np.ndarray], failures: list[dict[str, str]]) -> pd.DataFrame:
    """Summarise masks (H, W)."""
    items = []
    for name, mask in masks.items():
        meta = {"filename_or_obj": f"/photos/{name}.jpg", "original_size": mask.shape}
        pred = torch.from_numpy(mask.astype(np.uint8))[None]
        item = {"id": name, "image": MetaTensor(torch.zeros(3, 2, 2), meta=meta), "pred": pred}
        items.append(MeasureMaskd("pred")(item) | {"confidence": [0.75]})
    engine = Engine(lambda engine, batch: {})
    PredictionTable(folder, SimpleNamespace(failures=failures)).attach(engine)
    engine.run([items])
    return pd.read_csv(folder / "predictions.csv", dtype={"id": str}).set_index("id")


def test_measurements(tmp_path: Path) -> None:
    box = np.zeros((10, 20), bool)
    box[2:5, 7:11] = True
    box[3, 8] = False
    corners = np.zeros((6, 4), bool)
    corners[0, 0] = corners[5, 3] = True
    table = summarised(tmp_path, {"b": box, "a": corners, "c": np.zeros((5, 5), bool)}, [])
    columns = ["height", "width", "left", "top", "right", "bottom"]
    assert table.index.tolist() == ["a", "b", "c"]
    assert table.loc["b", columns].tolist() == [10, 20, 7, 2, 11, 5]
    assert table.loc["a", columns].tolist() == [6, 4, 0, 0, 4, 6]
    assert table.loc["c", ["left", "top", "right", "bottom"]].isna().all()
    assert table["area_share"].tolist() == pytest.approx([2 / 24, 11 / 200, 0], abs=1e-6)
    assert table["confidence"].tolist() == [0.75] * 3
    assert table.loc["b", "image"] == "/photos/b.jpg"
    assert ",7,2,11,5," in (tmp_path / "predictions.csv").read_text()  # whole numbers beside an empty box


def test_no_lesion_at_all(tmp_path: Path) -> None:
    table = summarised(tmp_path, {"a": np.zeros((4, 4), bool)}, [])
    assert table.loc["a", ["left", "top", "right", "bottom"]].isna().all()


def test_failures_are_listed_and_later_forgotten(tmp_path: Path) -> None:
    masks = {"a": np.ones((4, 4), bool)}
    summarised(tmp_path, masks, [{"id": "bad", "image": "bad.jpg", "reason": "damaged, in short."}])
    assert pd.read_csv(tmp_path / "failures.csv")["reason"].tolist() == ["damaged, in short."]
    summarised(tmp_path, masks, [])
    assert not (tmp_path / "failures.csv").exists()

"""Calibration and risk-coverage by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from dermaseg_monai.handlers import UncertaintyReport, UncertaintyScores, risk_coverage


def test_risk_coverage_by_hand() -> None:
    scores = np.array([0.9, 0.2, 0.8, 0.6])
    doubt = np.array([0.1, 0.9, 0.8, 0.2])
    curve = risk_coverage(scores, doubt).set_index("coverage")
    assert curve.loc[1.0, "dice"] == pytest.approx(0.625)
    assert curve.loc[0.75, "dice"] == pytest.approx((0.9 + 0.6 + 0.8) / 3)
    assert curve.loc[0.5, "dice"] == pytest.approx((0.9 + 0.6) / 2)
    assert curve.loc[0.5, "ideal"] == pytest.approx((0.9 + 0.8) / 2)


def test_files_of_two_images(tmp_path: Path) -> None:
    label = torch.zeros(1, 2, 4, dtype=torch.uint8)
    label[..., :2] = 1
    wrong = label.clone()
    wrong[0, 0, 2] = 1  # one pixel too many, and the map says so
    uncertainty = torch.zeros(1, 2, 4)
    uncertainty[0, 0, 2] = 0.97
    items = [
        {
            "id": "b",
            "pred": label,
            "label": label,
            "uncertainty": torch.zeros(1, 2, 4),
            "gate": torch.ones(2) / 2,
        },
        {
            "id": "a",
            "pred": wrong,
            "label": label,
            "uncertainty": uncertainty,
            "gate": torch.tensor([0.25, 0.75]),
        },
    ]
    engine = SimpleNamespace(state=SimpleNamespace(batch=items))
    scores = UncertaintyScores(tmp_path)
    scores._start(engine)
    scores._collect(engine)
    scores._write(engine)
    table = pd.read_csv(tmp_path / "uncertainty.csv")
    assert table["id"].tolist() == ["a", "b"]
    assert table["dice"].tolist() == pytest.approx([8 / 9, 1.0], abs=1e-6)
    assert table["uncertainty"].tolist() == pytest.approx([0.97 / 5, 0.0], abs=1e-6)
    assert table["gate_1"].tolist() == [0.75, 0.5]
    summary = json.loads((tmp_path / "uncertainty.json").read_text())
    low, high = summary["calibration"]
    assert (low["wrong"], low["predicted"]) == (0, 0)
    assert (high["wrong"], high["predicted"]) == (1, pytest.approx(0.97, abs=1e-6))
    assert high["share_of_pixels"] == pytest.approx(1 / 16)
    assert summary["expected_calibration_error"] == pytest.approx(0.03 / 16, abs=1e-6)
    UncertaintyReport(tmp_path)(engine)
    assert (tmp_path / "uncertainty.png").stat().st_size > 0

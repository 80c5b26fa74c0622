"""Calibration and risk-coverage of predicted uncertainty."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ignite.engine import Engine, Events

from dermaseg_monai.metrics import confusion_counts, dice
from dermaseg_monai.utils.distributed import gather_objects, rank
from dermaseg_monai.utils.files import atomic_path, write_text
from dermaseg_monai.utils.tensors import plain

logger = logging.getLogger(__name__)

BINS = 20
"""Bins of predicted uncertainty in the calibration table."""


class UncertaintyScores:
    """Ignite handler that compares predicted uncertainty with what was really wrong.

    Writes into ``output_dir``:

    - ``uncertainty.csv``: per image its Dice, its uncertainty (summed over all pixels, per pixel of the
      predicted lesion), and the weights of a dynamic pyramid's branches where there are any;
    - ``uncertainty.json``: the calibration table (per bin of predicted uncertainty the share of pixels that are
      wrong), its expected calibration error, and the risk-coverage curve (mean Dice of the images that stay when
      the least certain ones go to a person), which :class:`UncertaintyReport` draws.

    Args:
        output_dir: folder of what the evaluation writes.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017; Geifman and El-Yaniv,
        "Selective Classification for Deep Neural Networks", NeurIPS 2017.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.output_dir = Path(output_dir)
        self.rows: list[dict[str, Any]] = []
        self.bins = np.zeros((3, BINS))

    def attach(self, engine: Engine) -> None:
        """Register with a :class:`dermaseg_monai.engines.PhotoEvaluator`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.rows = []
        self.bins = np.zeros((3, BINS))

    def _collect(self, engine: Any) -> None:
        for item in engine.state.batch:
            uncertainty = plain(item["uncertainty"])[0]
            prediction, label = (plain(item[key])[0] > 0 for key in ("pred", "label"))
            score = float(dice(confusion_counts(prediction[None, None], label[None, None]))[0, 0])
            # large lesions have long boundaries: per lesion pixel, doubt is comparable between images
            doubt = float(uncertainty.sum() / prediction.sum().clamp(min=1))
            row = {"id": item["id"], "dice": score, "uncertainty": doubt}
            if "gate" in item:
                row |= {f"gate_{index}": float(weight) for index, weight in enumerate(item["gate"])}
            self.rows.append(row)
            # each image counts as one, whatever its size
            index = (uncertainty * BINS).long().clamp(0, BINS - 1).flatten()
            wrong = (prediction != label).flatten().double()
            for total, values in zip(
                self.bins, (torch.ones_like(wrong), wrong, uncertainty.flatten().double()), strict=True
            ):
                total += torch.bincount(index, values, BINS).numpy() / len(index)

    def _write(self, engine: Engine) -> None:
        rows = gather_objects(self.rows)
        pixels, wrong, predicted = np.sum(gather_objects([self.bins]), axis=0)
        if rank() != 0:
            return
        table = pd.DataFrame(rows).sort_values("id", ignore_index=True)
        with atomic_path(self.output_dir / "uncertainty.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f")
        filled = pixels > 0
        calibration = pd.DataFrame(
            {
                "predicted": predicted[filled] / pixels[filled],
                "wrong": wrong[filled] / pixels[filled],
                "share_of_pixels": pixels[filled] / pixels.sum(),
            }
        )
        error = float(
            (calibration["share_of_pixels"] * (calibration["predicted"] - calibration["wrong"]).abs()).sum()
        )
        curve = risk_coverage(table["dice"].to_numpy(), table["uncertainty"].to_numpy())
        summary = {
            "expected_calibration_error": round(error, 6),
            "calibration": calibration.round(6).to_dict("records"),
            "risk_coverage": curve.round(6).to_dict("records"),
        }
        write_text(self.output_dir / "uncertainty.json", json.dumps(summary, indent=2) + "\n")
        means = curve.set_index("coverage")["dice"]
        logger.info("mean Dice %.4f, of the 90 %% most certain images %.4f", means[1.0], means[0.9])


def risk_coverage(scores: np.ndarray, uncertainty: np.ndarray) -> pd.DataFrame:
    """Mean score of the images that stay when the least certain ones are set aside.

    Args:
        scores: one score per image, ``(N,)``.
        uncertainty: one doubt per image, ``(N,)``; higher is less certain.

    Returns:
        A row for each coverage from 1.0 to 0.5 in steps of 0.05: ``coverage``, ``dice`` (mean of the kept) and
        ``ideal`` (were the worst-scoring images set aside). At least one image is kept.
    """
    certain, best = scores[np.argsort(uncertainty, kind="stable")], np.sort(scores)[::-1]
    rows = []
    for coverage in np.linspace(1.0, 0.5, 11).round(2):
        count = max(1, round(coverage * len(scores)))
        rows.append({"coverage": coverage, "dice": certain[:count].mean(), "ideal": best[:count].mean()})
    return pd.DataFrame(rows)

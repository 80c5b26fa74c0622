"""Thresholds are those of the weights that are kept, whatever interrupts the training."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events

from dermaseg_monai.handlers import FitThresholds, stored_thresholds
from dermaseg_monai.metrics import best_thresholds, probability_histogram
from dermaseg_monai.utils.errors import InputError

NAMES = ["mesh", "dots"]


def histograms() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.rand(1, 2, 16, 16, generator=generator) < 0.3
    return [
        probability_histogram(
            scale * (0.5 * label + 0.5 * torch.rand(label.shape, generator=generator)), label
        ).double()
        for scale in (1.0, 0.5, 0.25, 0.9)
    ]


def fit(folder: Path, best_epochs: list[int], objective: str = "macro") -> list[str | None]:
    """An engine whose validator sees its best epoch at ``best_epochs``; what was stored after each epoch."""
    scores, validator = SimpleNamespace(), SimpleNamespace(state=SimpleNamespace())
    engine, stored, file = Engine(lambda *_: None), [], folder / "thresholds.json"
    FitThresholds(folder, NAMES, scores, validator, objective).attach(engine)

    @engine.on(Events.EPOCH_STARTED)
    def validate() -> None:
        epoch = engine.state.epoch
        scores.histogram = histograms()[epoch - 1]
        validator.state.best_metric_epoch = best_epochs[epoch - 1]
        stored.append(file.read_text() if file.is_file() else None)

    engine.run([0], max_epochs=len(best_epochs))
    return [*stored[1:], file.read_text()]


def test_the_best_epochs_thresholds_are_kept(tmp_path: Path) -> None:
    first, second, third, fourth = fit(tmp_path, [1, 1, 3, 3])
    assert first == second
    assert third == fourth
    content = json.loads(fourth)
    assert (content["epoch"], content["section"]) == (3, "validation")
    expected = best_thresholds(histograms()[2])
    assert list(content["thresholds"].values()) == expected == stored_thresholds(tmp_path, NAMES)
    assert max(expected) < 0.25
    assert content["jaccard_fitted"]["macro"] > content["jaccard_at_half"]["macro"]


def test_the_objective_counts(tmp_path: Path) -> None:
    fit(tmp_path, [1], "micro")
    assert stored_thresholds(tmp_path, NAMES) == best_thresholds(histograms()[0], "micro")


def test_without_a_file_the_default_counts(tmp_path: Path) -> None:
    assert stored_thresholds(tmp_path, NAMES) == 0.5
    (tmp_path / "thresholds.json").write_text('{"thresholds": {"mesh": 0.1}}')
    with pytest.raises(InputError, match="does not hold a threshold for each of mesh, dots"):
        stored_thresholds(tmp_path, NAMES)

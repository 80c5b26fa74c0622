"""The order in which rates are tried, with runs that only leave their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scripts.train_protocol import Protocol, main

NETWORK = "lesion_unet_compact"


class Scored(Protocol):
    """Leaves a score instead of training; remembers what was run."""

    def __init__(self, runs: Path, scores: dict[str | None, float], seed: int = 0) -> None:
        super().__init__("data", runs, {}, seed)
        self.given = scores
        self.ran: list[tuple[str, Any]] = []

    def run(self, network: str, folder: str, options: dict[str, Any]) -> bool:
        rate = options.get("learning_rate")
        self.ran.append((folder, rate))
        if (score := self.given.get(rate)) is None:
            return False
        path = self.scores(folder, network)
        path.parent.mkdir(parents=True)
        pd.DataFrame({"jaccard": [score - 0.1, score + 0.1]}).to_csv(path, index=False)
        return True


def test_the_lowest_rate_is_tried_only_after_the_middle_one_was_better(tmp_path: Path) -> None:
    high = Scored(tmp_path / "high", {"1e-3": 0.7, "3e-4": 0.6})
    assert high.train(NETWORK) is None
    assert high.ran == [("rates/1e-3", "1e-3"), ("rates/3e-4", "3e-4"), ("ablations", "1e-3")]
    low = Scored(tmp_path / "low", {"1e-3": 0.5, "3e-4": 0.6, "1e-4": 0.55})
    assert low.train(NETWORK) is None
    assert low.ran[2:] == [("rates/1e-4", "1e-4"), ("ablations", "3e-4")]
    assert low.tried(NETWORK) == pytest.approx({"1e-3": 0.5, "3e-4": 0.6, "1e-4": 0.55})


def test_a_finished_network_is_left_alone(tmp_path: Path) -> None:
    Scored(tmp_path, {"1e-3": 0.7, "3e-4": 0.6}).train(NETWORK)
    again = Scored(tmp_path, {})
    assert again.train(NETWORK) is None
    assert again.ran == []


def test_a_further_seed_is_trained_once_at_the_rate_of_the_study(tmp_path: Path) -> None:
    further = Scored(tmp_path, {None: 0.7}, seed=2)
    assert further.train(NETWORK) is None
    assert further.ran == [("seed2", None)]
    assert (tmp_path / "seed2/architecture_64" / NETWORK / "seed2/evaluation/metrics.csv").is_file()
    again = Scored(tmp_path, {}, seed=2)
    assert again.train(NETWORK) is None
    assert again.ran == []


def test_a_run_that_fails_ends_its_network(tmp_path: Path) -> None:
    failing = Scored(tmp_path, {"1e-3": 0.7})
    assert failing.train(NETWORK) == f"{NETWORK} at 3e-4: see {tmp_path / (NETWORK + '.log')}"
    assert failing.ran[-1] == ("rates/3e-4", "3e-4")


def test_it_says_what_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the real command, which is given no data."""
    monkeypatch.setattr("os.nice", lambda by: None)
    with pytest.raises(SystemExit, match=f"not finished: {NETWORK} at 1e-3"):
        main(str(tmp_path / "nothing"), str(tmp_path), NETWORK)
    assert "nothing" in (tmp_path / f"{NETWORK}.log").read_text()
    with pytest.raises(SystemExit, match="architecture_64 has no lesion_vnet"):
        main(str(tmp_path), str(tmp_path), "lesion_vnet")

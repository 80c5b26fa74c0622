"""Train the networks of the study ``architecture_64``: choose each one's learning rate, then train it at that rate.

    python scripts/train_protocol.py DATA [--runs runs/protocol_64] [--networks lesion_unet,lesion_segnet] [OVERRIDES]
    python scripts/train_protocol.py DATA --seed 1 [--networks lesion_unet] [OVERRIDES]

DATA is the prepared folder; overrides, such as ``--encoder_weights None``, are those of ``dermaseg study run``. A
network is tried at 1e-3 and 3e-4, and at 1e-4 where 3e-4 is better, for three epochs each; the mean Jaccard on the
validation split decides. A seed other than 0 is trained at the study's own rate, which was chosen so. Networks take
turns at low priority, one on each core. The same command goes on with what is unfinished and skips what is finished.
RUNS takes ``rates/RATE`` and ``ablations``, the study's run folders, a log for each network, and ``rates.csv``, the
scores that decided; further seeds have the folders ``seed1`` and so on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fire
import pandas as pd

from dermaseg_monai.studies.catalogue import get_study
from dermaseg_monai.utils.files import write_text

STUDY, RATES, EPOCHS = "architecture_64", ("1e-3", "3e-4", "1e-4"), 3


class Protocol:
    """The protocol on one data set.

    Args:
        dataset_dir: the prepared folder.
        runs: where everything is written.
        overrides: of every training.
        seed: of every training.
    """

    def __init__(self, dataset_dir: str, runs: Path, overrides: dict[str, Any], seed: int = 0) -> None:
        self.dataset_dir = dataset_dir
        self.runs = runs
        self.overrides = overrides
        self.seed = seed
        self.trained = f"seed{seed}" if seed else "ablations"

    def train(self, network: str) -> str | None:
        """Choose the rate and train; gives what is in the way, or None where the network is finished."""
        if self.scores(self.trained, network).is_file():
            return None
        if self.seed:
            return None if self.run(network, self.trained, {}) else f"{network}: see {self.log(network)}"
        for rate in RATES:
            if rate == RATES[2] and self.best(network) == RATES[0]:
                break
            trial = {"epochs": EPOCHS, "learning_rate": rate, "section": "validation"}
            if not self.run(network, f"rates/{rate}", trial):
                return f"{network} at {rate}: see {self.log(network)}"
        if not self.run(network, self.trained, {"learning_rate": self.best(network)}):
            return f"{network}: see {self.log(network)}"
        return None

    def run(self, network: str, folder: str, options: dict[str, Any]) -> bool:
        """Have one run go on to its end; gives whether it reached it."""
        options = {"dataset_dir": self.dataset_dir, "runs": self.runs / folder, **options, **self.overrides}
        options |= {"variants": network, "seeds": self.seed, "device": "cpu", "cpus_per_run": 1}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with self.log(network).open("a", encoding="utf-8") as log:
            ended = subprocess.run(
                [sys.executable, "-m", "dermaseg_monai", "study", "run", STUDY, *words],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return ended.returncode == 0

    def best(self, network: str) -> str:
        """The rate of the highest score so far."""
        scores = self.tried(network)
        return max(scores, key=lambda rate: scores[rate])

    def tried(self, network: str) -> dict[str, float]:
        """The mean Jaccard of each rate that was tried."""
        tables = {rate: self.scores(f"rates/{rate}", network) for rate in RATES}
        return {rate: pd.read_csv(path)["jaccard"].mean() for rate, path in tables.items() if path.is_file()}

    def scores(self, folder: str, network: str) -> Path:
        """Scores of a run, which are there once it has finished."""
        return self.runs / folder / STUDY / network / f"seed{self.seed}" / "evaluation" / "metrics.csv"

    def log(self, network: str) -> Path:
        """What the runs of a network said."""
        return self.runs / f"{network}.log"


def main(
    dataset_dir: str,
    runs: str = "runs/protocol_64",
    networks: str | Sequence[str] | None = None,
    seed: int = 0,
    **overrides: Any,
) -> None:
    """Train the networks, or those named; the exit code is 1 where one did not reach its end."""
    os.nice(15)
    known = [variant.name for variant in get_study(STUDY).variants]
    names = known if networks is None else networks.split(",") if isinstance(networks, str) else networks
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"{STUDY} has no {', '.join(unknown)}; choose from {', '.join(known)}.")
    folder = Path(runs).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    protocol = Protocol(dataset_dir, folder, overrides, seed)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        unfinished = [why for why in pool.map(protocol.train, names) if why is not None]
    if not seed:
        rows = [{"network": name, **tried} for name in sorted(known) if (tried := protocol.tried(name))]
        table = pd.DataFrame(rows, columns=["network", *RATES])
        write_text(folder / "rates.csv", table.to_csv(index=False, float_format="%.6g"))
    if unfinished:
        sys.exit("not finished: " + "; ".join(unfinished))


if __name__ == "__main__":
    fire.Fire(main)

"""Calibration and risk-coverage curves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
from ignite.engine import Engine, Events
from matplotlib.figure import Figure

from dermaseg_monai.utils.distributed import rank
from dermaseg_monai.utils.files import atomic_path


class UncertaintyReport:
    """Ignite handler that draws ``<output_dir>/uncertainty.png`` from ``uncertainty.json``.

    Args:
        output_dir: folder of what the evaluation writes.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, after :class:`dermaseg_monai.handlers.UncertaintyScores`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw both curves."""
        if rank() == 0:
            scores = json.loads((self.output_dir / "uncertainty.json").read_text(encoding="utf-8"))
            calibration, curve = pd.DataFrame(scores["calibration"]), pd.DataFrame(scores["risk_coverage"])
            plot_uncertainty(calibration, curve, self.output_dir / "uncertainty.png")


def plot_uncertainty(calibration: pd.DataFrame, curve: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Draw how often pixels of each uncertainty are wrong, and what setting doubtful images aside gains.

    Args:
        calibration: ``predicted`` and ``wrong`` (shares, 0 to 1) per bin.
        curve: ``coverage``, ``dice`` and ``ideal`` as :func:`dermaseg_monai.handlers.risk_coverage` gives them.
        path: the PNG to write.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="tab:gray", linestyle=":", label="equal")
    left.plot(calibration["predicted"], calibration["wrong"], marker=".", label="pixels")
    left.set(
        xlabel="predicted uncertainty", ylabel="share of pixels that are wrong", xlim=(0, 1), ylim=(0, 1)
    )
    left.legend(frameon=False)
    right.plot(curve["coverage"], curve["dice"], marker=".", label="least certain set aside")
    right.plot(curve["coverage"], curve["ideal"], color="tab:gray", linestyle=":", label="worst set aside")
    right.set(xlabel="share of images kept", ylabel="mean Dice of those kept")
    right.invert_xaxis()
    right.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)

"""Calibration and risk-coverage curves."""

from __future__ import annotations

import os

import pandas as pd
from matplotlib.figure import Figure

from dermaseg_monai.utils.files import atomic_path


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

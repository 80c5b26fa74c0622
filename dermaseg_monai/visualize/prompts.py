"""Curve of scores over the jitter of a box."""

from __future__ import annotations

import os

import pandas as pd
from matplotlib.figure import Figure

from dermaseg_monai.utils.files import atomic_path

_LINES = {
    "dice": ("Dice", "tab:blue"),
    "jaccard": ("Jaccard", "tab:orange"),
    "threshold_jaccard": ("threshold Jaccard", "tab:green"),
}


def plot_jitter_curve(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Draw the scores of the oracle's box over its jitter, with those of the predicted box as level lines.

    Args:
        table: what ``dermaseg compare-prompts`` writes, a row of mean scores per kind, source and jitter of a prompt.
        path: the PNG to write.
    """
    boxes = table[table["kind"] == "box"]
    oracle = boxes[boxes["source"].str.startswith("oracle")].sort_values("jitter")
    predicted = boxes[boxes["source"] == "predicted"]
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    for name, (label, colour) in _LINES.items():
        axes.plot(
            100 * oracle["jitter"], oracle[name], color=colour, marker="o", label=f"{label}, oracle box"
        )
        for level in predicted[name]:
            axes.axhline(level, color=colour, linestyle="--", label=f"{label}, predicted box")
    axes.set(
        xlabel="largest shift of each side of the oracle's box, % of its width or height",
        ylabel="mean score",
        ylim=(0, 1),
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)

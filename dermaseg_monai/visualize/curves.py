"""Learning curves."""

from __future__ import annotations

import os

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dermaseg_monai.utils.files import atomic_path


def plot_curves(history: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Draw a training's loss, learning rate and scores over its epochs.

    Args:
        history: a row per epoch with ``epoch``, ``loss``, ``learning_rate`` and any of ``train_*`` and
            ``val_*``.
        path: the PNG to write.
    """
    scores = [name for name in history.columns if name.startswith(("train_", "val_"))]
    figure = Figure(figsize=(13, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history["epoch"], history["loss"], color="tab:red", marker=".", label="training loss")
    left.set(xlabel="epoch", ylabel="loss")
    rate = left.twinx()
    rate.plot(
        history["epoch"], history["learning_rate"], color="tab:gray", linestyle=":", label="learning rate"
    )
    rate.set_ylabel("learning rate")
    left.legend(handles=[*left.get_lines(), *rate.get_lines()], frameon=False)
    for name in scores:
        split, metric = name.split("_", 1)
        style = "--" if split == "train" else "-"
        label = f"{'training' if split == 'train' else 'validation'} {metric.replace('_', ' ')}"
        right.plot(history["epoch"], history[name], linestyle=style, marker=".", label=label)
    right.set(xlabel="epoch", ylabel="score")
    right.grid(alpha=0.3)
    if scores:
        right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)

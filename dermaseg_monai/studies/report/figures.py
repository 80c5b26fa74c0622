"""Figures of a study, for light and for dark pages."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dermaseg_monai.metrics import lower_is_better
from dermaseg_monai.studies.report.metrics import SIGNIFICANT, metric_label
from dermaseg_monai.studies.results import StudyRuns, Variant
from dermaseg_monai.transforms.corruptions import CORRUPTIONS

_WIDTH = 5.0  # inches: on a phone, where the plot is scaled to the page, its text can still be read
_COLOURS = ("#3b82c4", "#e07b39", "#1fa187", "#b05cc6", "#d1495b", "#8a9a2b", "#7a7fd6", "#9c755f")
_DASHES = ("-", "--", ":")
_INK = {"light": "#22303a", "dark": "#dfe7ea"}
_PAPER = {"light": "#ffffff", "dark": "#182127"}  # the page's cards


@contextmanager
def themed(theme: str) -> Iterator[None]:
    """Colours and lines of a "light" or a "dark" page for what the block draws."""
    ink = _INK[theme]
    with matplotlib.rc_context(
        {
            "font.size": 9.5,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.facecolor": _PAPER[theme],
            "axes.edgecolor": ink,
            "axes.linewidth": 0.6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "grid.color": ink,
            "grid.alpha": 0.15,
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "xtick.color": ink,
            "ytick.color": ink,
            "legend.frameon": False,
            "svg.hashsalt": "study",  # the same numbers give the same file
        }
    ):
        yield


def draw_differences(rows: list[dict[str, Any]], titles: dict[str, str], label: str) -> Figure:
    """Differences to the baseline with their intervals, a line each, of rows of ``Analysis.paired``."""
    figure = Figure(figsize=(_WIDTH, 1.0 + 0.45 * len(rows)), layout="constrained")
    axis = figure.subplots()
    ink = matplotlib.rcParams["text.color"]
    axis.axvline(0, color=ink, linewidth=0.9)
    lower = lower_is_better(rows[0]["metric"])
    for line, row in enumerate(rows):
        clear = row["p_bootstrap_holm"] < SIGNIFICANT
        colour = ink if not clear else _COLOURS[2] if (row["difference"] > 0) != lower else _COLOURS[4]
        axis.plot(
            [row["low"], row["high"]], [line, line], color=colour, linewidth=2.4, solid_capstyle="round"
        )
        axis.plot(
            row["difference"],
            line,
            marker="o",
            markersize=8,
            markeredgewidth=1.8,
            color=colour,
            markerfacecolor=colour if clear else matplotlib.rcParams["axes.facecolor"],
        )
        axis.plot(
            [row["lowest_seed"], row["highest_seed"]], [line + 0.24] * 2, "|", color=colour, markersize=6
        )
    axis.set_yticks(range(len(rows)), [_wrapped(titles[row["variant"]]) for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:+.3g}" if abs(value) > 1e-12 else "0")
    left, right = ("better", "worse") if lower else ("worse", "better")
    axis.set_xlabel(f"{left}  ←  difference in {label}  →  {right}")
    axis.grid(axis="x")
    return figure


def draw_learning_curves(study: StudyRuns, score: str) -> Figure:
    """Validation score and training loss by epoch, a band over seeds for each variant."""
    variants = study.scored()
    rows = -(-len(variants) // 2)
    figure = Figure(figsize=(_WIDTH, 4.6 + 0.3 * rows), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for variant, colour, dash in _coloured(variants):
        histories = [run.history for run in study.of(variant.name) if len(run.history)]
        for axis, column in ((upper, score), (lower, "loss")):
            columns = [history.set_index("epoch")[column] for history in histories if column in history]
            if columns:
                _band(axis, pd.concat(columns, axis=1).dropna(how="all"), colour, dash, variant.title)
    upper.set_ylabel(f"validation {metric_label(score.removeprefix('val_'))}")
    lower.set(xlabel="epoch", ylabel="training loss")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (upper, lower):
        axis.grid()
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(
        handles, [_wrapped(text, 27) for text in labels], loc="outside lower center", ncols=2, fontsize=9
    )
    return figure


def _band(axis: Axes, values: pd.DataFrame, colour: str, dash: str, label: str) -> None:
    axis.plot(values.index, values.mean(axis=1), dash, color=colour, label=label)
    if values.shape[1] > 1:
        axis.fill_between(
            values.index, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.18, linewidth=0
        )


def draw_fractions(table: pd.DataFrame, series: dict[str, list[Variant]]) -> Figure:
    """Dice against the share of training images, of rows of ``Analysis.summary``."""
    table = table.set_index("variant")
    figure = Figure(figsize=(_WIDTH, 3.8), layout="constrained")
    axis = figure.subplots()
    fractions: set[float] = set()
    for (label, members), (colour, dash) in zip(series.items(), _pens(len(series)), strict=True):
        x = np.array([float(member.axis["data_fraction"]) for member in members])
        rows = table.loc[[member.name for member in members]]
        errors = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
        axis.errorbar(
            x, rows["mean"], errors, fmt=f"o{dash}", color=colour, capsize=3, elinewidth=1, label=label
        )
        fractions.update(x)
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(fractions))
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.set(xlabel="share of the training images", ylabel="test Dice")
    axis.minorticks_off()
    axis.grid()
    axis.legend(fontsize=9)
    return figure


def draw_corruptions(curves: dict[str, list[dict[str, Any]]], label: str) -> Figure:
    """Differences to the clean photos by strength, a small plot for each corruption."""
    columns = min(3, len(curves))
    lines = -(-len(curves) // columns)
    figure = Figure(figsize=(_WIDTH * 1.3, 0.6 + 1.9 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    ink = matplotlib.rcParams["text.color"]
    for axis, (name, rows), (colour, _) in zip(axes, curves.items(), _pens(len(curves)), strict=False):
        x, y, low, high = (
            np.array([row[key] for row in rows]) for key in ("strength", "difference", "low", "high")
        )
        axis.axhline(0, color=ink, linewidth=0.8)
        axis.errorbar(
            x, y, [y - low, high - y], fmt="o-", color=colour, capsize=3, elinewidth=1, markersize=4
        )
        corruption = CORRUPTIONS[name]
        axis.set_title(corruption.title, fontsize=9.5)
        axis.set_xlabel(_wrapped(corruption.unit, 28), fontsize=8)
        axis.grid()
    for axis in axes[len(curves) :]:
        axis.set_visible(False)
    figure.supylabel(f"difference in {label}", fontsize=9.5)
    return figure


def draw_scatter(images: pd.DataFrame, metric: str, pair: tuple[str, str], titles: dict[str, str]) -> Figure:
    """Scores of two variants, a dot for each image, of ``Analysis.images``."""
    table = images.pivot(index="id", columns="variant", values=metric)
    x, y = (table[name] for name in pair)
    figure = Figure(figsize=(_WIDTH, _WIDTH * 0.95), layout="constrained")
    axis = figure.subplots()
    ink = matplotlib.rcParams["text.color"]
    axis.axline((0, 0), slope=1, color=ink, linewidth=0.8)
    for rows, colour in ((y > x, _COLOURS[2]), (y < x, _COLOURS[4]), (y == x, ink)):
        axis.scatter(x[rows], y[rows], s=18, color=colour, alpha=0.55, linewidths=0, rasterized=len(x) > 1000)
    low = max(0.0, float(min(x.min(), y.min())) - 0.03)
    axis.set(xlim=(low, 1.01), ylim=(low, 1.01), aspect="equal")
    axis.set_xlabel(_wrapped(titles[pair[0]], 48))
    axis.set_ylabel(_wrapped(titles[pair[1]], 40))
    axis.text(0.02, 0.98, f"better on {(y > x).sum()}", transform=axis.transAxes, va="top", color=_COLOURS[2])
    axis.text(
        0.98, 0.02, f"worse on {(y < x).sum()}", transform=axis.transAxes, ha="right", color=_COLOURS[4]
    )
    axis.grid()
    return figure


def _coloured(variants: Sequence[Variant]) -> Iterator[tuple[Variant, str, str]]:
    for variant, (colour, dash) in zip(variants, _pens(len(variants)), strict=True):
        yield variant, colour, dash


def _pens(count: int) -> list[tuple[str, str]]:
    """A colour and a dash for each of ``count`` lines; dashes change when the colours are used up."""
    return list(islice(cycle((colour, dash) for dash in _DASHES for colour in _COLOURS), count))


def _wrapped(text: str, width: int = 20) -> str:
    return "\n".join(textwrap.wrap(text, width))

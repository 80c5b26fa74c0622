"""The plots of a study, for light and for dark pages and as files for a paper."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dermaseg_monai.metrics import lower_is_better
from dermaseg_monai.studies.results import StudyRuns, Variant
from dermaseg_monai.studies.statistics import Analysis, rows_of
from dermaseg_monai.transforms.corruptions import CORRUPTIONS
from dermaseg_monai.utils.files import atomic_path

SIGNIFICANT = 0.05
"""Below this, a corrected p is called a clear difference."""

_WIDTH = 5.0  # inches: on a phone, where the plot is scaled to the page, its text can still be read
_COLOURS = ("#3b82c4", "#e07b39", "#1fa187", "#b05cc6", "#d1495b", "#8a9a2b", "#7a7fd6", "#9c755f")
_DASHES = ("-", "--", ":")
_INK = {"light": "#22303a", "dark": "#dfe7ea"}
_LABELS = {
    f"{name}{suffix}": f"{label} {unit}"
    for name, label in (("hd95", "95 % Hausdorff distance"), ("assd", "average surface distance"))
    for suffix, unit in (("", "in pixels"), ("_share", "as a share of the diagonal"), ("_mm", "in mm"))
}
_PAPER = {"light": "#ffffff", "dark": "#182127"}  # the page's cards


@dataclass(frozen=True)
class Plot:
    """One plot and what is said of it.

    Attributes:
        name: of its file.
        title: what it shows.
        caption: how to read it, and where its numbers are.
        draw: makes the figure, in the colours that matplotlib is set to.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure]

    def svg(self, theme: str) -> bytes:
        """The plot without a background, for a "light" or a "dark" page."""
        stream = io.BytesIO()
        with _style(theme):
            self.draw().savefig(stream, format="svg", transparent=True, metadata={"Date": None})
        return stream.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plot on white, as PNG."""
        with _style("light"), atomic_path(path) as temporary:
            self.draw().savefig(temporary, dpi=200)


def plots(study: StudyRuns, analysis: Analysis) -> list[Plot]:
    """The plots that there are numbers for.

    Args:
        study: what was collected.
        analysis: its tables.

    Returns:
        Differences to the baseline, learning curves, scores against data fractions, differences against the strength
        of corruptions, two variants image by image; fewer where the baseline has no run, no history was kept, or no
        fraction or strength varies.
    """
    label = metric_label(study.metric)
    titles = {variant.name: variant.title for variant in study.variants}
    found = []
    differences = rows_of(analysis.paired, study.metric)
    if differences:
        found.append(
            Plot(
                "differences",
                f"Difference in {label} to {titles[study.baseline]}",
                "Dot and line: mean difference and its 95 % bootstrap interval over images; filled where the "
                "difference is clear (Holm-corrected p below 0.05). Ticks: runs of the same seed. Numbers in "
                "paired.csv.",
                partial(_forest, differences, titles, label),
            )
        )
    score = _history_column(study)
    if score is not None:
        found.append(
            Plot(
                "learning_curves",
                "Learning curves",
                "Validation score and training loss: mean over seeds, and the band from the lowest seed to the "
                "highest. Losses of different kinds cannot be compared. Numbers in each run's "
                "output/history.csv.",
                partial(_curves, study, score),
            )
        )
    metric = "dice"
    series = _fraction_series(study)
    if series:
        found.append(
            Plot(
                "data_fraction",
                f"{metric_label(metric)} against the share of training images",
                "Mean over seeds, with the 95 % bootstrap interval over images. With all images, fixed epochs and "
                "fixed steps are the same. Numbers in summary.csv.",
                partial(_fractions, analysis.summary[analysis.summary["metric"] == metric], series),
            )
        )
    curves = _corruption_curves(study, analysis)
    if curves:
        found.append(
            Plot(
                "corruptions",
                f"Difference in {label} by corruption and strength",
                "Mean difference to the clean photos, image by image, and its 95 % bootstrap interval over images. The "
                "thin line is the clean photos. Numbers in paired.csv.",
                partial(_corruptions, curves, label),
            )
        )
    pair = scatter_pair(study, analysis)
    if pair is not None:
        metric = image_metric(study)
        found.append(
            Plot(
                "images",
                f"{titles[pair[1]]} against {titles[pair[0]]}, image by image",
                f"Each dot is an image's {metric_label(metric)}, averaged over seeds; above the diagonal the "
                "variant on the upright axis is better. Numbers in images.csv.",
                partial(_scatter, analysis.images, metric, pair, titles),
            )
        )
    return found


def metric_label(metric: str) -> str:
    """A metric's name in text: "threshold Jaccard", "Dice", "streaks Jaccard", "95 % Hausdorff distance in pixels"."""
    if metric in _LABELS:
        return _LABELS[metric]
    if metric.startswith("jaccard_"):
        metric = f"{metric.removeprefix('jaccard_')}_jaccard"
    return metric.replace("_", " ").replace("jaccard", "Jaccard").replace("dice", "Dice")


def image_metric(study: StudyRuns) -> str:
    """The metric that images are compared by: from 0 to 1, without the step of the threshold Jaccard index."""
    other = study.metric == "threshold_jaccard" or lower_is_better(study.metric)
    return "jaccard" if study.task == "attribute" or other else study.metric


def scatter_pair(study: StudyRuns, analysis: Analysis) -> tuple[str, str] | None:
    """The baseline (or, without one, the second best) and the best of the other variants."""
    sign = 1 if lower_is_better(study.metric) else -1
    rows = sorted(rows_of(analysis.summary, study.metric), key=lambda row: sign * row["mean"])
    best = [row["variant"] for row in rows]
    if len(best) < 2:
        return None
    first = study.baseline if study.baseline in best else best[1]
    return first, next(name for name in best if name != first)


def best_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of ``Analysis.summary`` with the best mean, of rows of one metric."""
    choose = min if lower_is_better(rows[0]["metric"]) else max
    return choose(rows, key=lambda row: row["mean"])


@contextmanager
def _style(theme: str) -> Iterator[None]:
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


def _forest(rows: list[dict[str, Any]], titles: dict[str, str], label: str) -> Figure:
    figure = Figure(figsize=(_WIDTH, 1.0 + 0.45 * len(rows)), layout="constrained")
    axis = figure.subplots()
    ink = matplotlib.rcParams["text.color"]
    axis.axvline(0, color=ink, linewidth=0.9)
    lower = lower_is_better(rows[0]["metric"])
    for place, row in enumerate(rows):
        clear = row["p_bootstrap_holm"] < SIGNIFICANT
        colour = ink if not clear else _COLOURS[2] if (row["difference"] > 0) != lower else _COLOURS[4]
        axis.plot(
            [row["low"], row["high"]], [place, place], color=colour, linewidth=2.4, solid_capstyle="round"
        )
        axis.plot(
            row["difference"],
            place,
            marker="o",
            markersize=8,
            markeredgewidth=1.8,
            color=colour,
            markerfacecolor=colour if clear else matplotlib.rcParams["axes.facecolor"],
        )
        axis.plot(
            [row["lowest_seed"], row["highest_seed"]], [place + 0.24] * 2, "|", color=colour, markersize=6
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


def _history_column(study: StudyRuns) -> str | None:
    """The validation score in the histories that is nearest to the study's metric."""
    columns = [name for run in study.runs for name in run.history.columns if name.startswith("val_")]
    wanted = (f"val_{study.metric}", f"val_micro_{study.metric}", *columns)
    return next((name for name in wanted if name in columns), None)


def _curves(study: StudyRuns, score: str) -> Figure:
    variants = study.scored()
    rows = -(-len(variants) // 2)
    figure = Figure(figsize=(_WIDTH, 4.6 + 0.3 * rows), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for variant, colour, dash in _coloured(variants):
        histories = [run.history for run in study.of(variant.name) if len(run.history)]
        for axis, column in ((upper, score), (lower, "loss")):
            kept = [history.set_index("epoch")[column] for history in histories if column in history]
            if kept:
                _band(axis, pd.concat(kept, axis=1).dropna(how="all"), colour, dash, variant.title)
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


def _fraction_series(study: StudyRuns) -> dict[str, list[Variant]]:
    """Variants that differ in their data fraction alone, in its order, by what they share."""
    placed = [variant for variant in study.scored() if "data_fraction" in variant.axis]
    shared = {variant.name: _others(variant) for variant in placed}
    series: dict[str, list[Variant]] = {}
    for key in dict.fromkeys(tuple(sorted(entry.items())) for entry in shared.values()):
        # all images are as many epochs and steps in either schedule, so that run ends every line of its kind
        kind = {name: value for name, value in key if name != "schedule"}
        members = [
            variant
            for variant in placed
            if shared[variant.name] == dict(key)
            or (
                variant.axis["data_fraction"] == 1
                and {name: value for name, value in shared[variant.name].items() if name != "schedule"}
                == kind
            )
        ]
        unique = {variant.axis["data_fraction"]: variant for variant in members}
        if len(unique) > 1:
            texts = [f"fixed {value}" if name == "schedule" else str(value) for name, value in key]
            series[", ".join(texts)] = [unique[fraction] for fraction in sorted(unique)]
    return series


def _others(variant: Variant) -> dict[str, object]:
    return {name: value for name, value in variant.axis.items() if name != "data_fraction"}


def _fractions(table: pd.DataFrame, series: dict[str, list[Variant]]) -> Figure:
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


def _corruption_curves(study: StudyRuns, analysis: Analysis) -> dict[str, list[dict[str, Any]]]:
    """Differences to the clean photos by corruption, in the order of strength, the clean photos among them."""
    differences = {row["variant"]: row for row in rows_of(analysis.paired, study.metric)}
    curves: dict[str, list[dict[str, Any]]] = {}
    for variant in study.scored():
        if "strength" in variant.axis and variant.name in differences:
            row = {"strength": variant.axis["strength"], **differences[variant.name]}
            curves.setdefault(str(variant.axis["corruption"]), []).append(row)
    for name, rows in curves.items():
        clean = CORRUPTIONS[name].clean
        if clean is not None:
            rows.append({"strength": clean, "difference": 0.0, "low": 0.0, "high": 0.0})
        rows.sort(key=lambda row: row["strength"])
    return curves


def _corruptions(curves: dict[str, list[dict[str, Any]]], label: str) -> Figure:
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


def _scatter(images: pd.DataFrame, metric: str, pair: tuple[str, str], titles: dict[str, str]) -> Figure:
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

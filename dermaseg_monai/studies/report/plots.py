"""Plots of a study: which there are numbers for, for its page and as files for a paper."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from dermaseg_monai.metrics import lower_is_better
from dermaseg_monai.studies.report.figures import (
    draw_corruptions,
    draw_differences,
    draw_fractions,
    draw_learning_curves,
    draw_scatter,
    themed,
)
from dermaseg_monai.studies.report.metrics import image_metric, metric_label
from dermaseg_monai.studies.results import StudyRuns, Variant
from dermaseg_monai.studies.statistics import Analysis, rows_of
from dermaseg_monai.transforms.corruptions import CORRUPTIONS
from dermaseg_monai.utils.files import atomic_path


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
        with themed(theme):
            self.draw().savefig(stream, format="svg", transparent=True, metadata={"Date": None})
        return stream.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plot on white, as PNG."""
        with themed("light"), atomic_path(path) as temporary:
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
    drawn = []
    differences = rows_of(analysis.paired, study.metric)
    if differences:
        drawn.append(
            Plot(
                "differences",
                f"Difference in {label} to {titles[study.baseline]}",
                "Dot and line: mean difference and its 95 % bootstrap interval over images; filled where the "
                "difference is clear (Holm-corrected p below 0.05). Ticks: runs of the same seed. Numbers in "
                "paired.csv.",
                partial(draw_differences, differences, titles, label),
            )
        )
    score = _history_column(study)
    if score is not None:
        drawn.append(
            Plot(
                "learning_curves",
                "Learning curves",
                "Validation score and training loss: mean over seeds, and the band from the lowest seed to the "
                "highest. Losses of different kinds cannot be compared. Numbers in each run's "
                "output/history.csv.",
                partial(draw_learning_curves, study, score),
            )
        )
    metric = "dice"
    series = _fraction_series(study)
    if series:
        drawn.append(
            Plot(
                "data_fraction",
                f"{metric_label(metric)} against the share of training images",
                "Mean over seeds, with the 95 % bootstrap interval over images. With all images, fixed epochs and "
                "fixed steps are the same. Numbers in summary.csv.",
                partial(draw_fractions, analysis.summary[analysis.summary["metric"] == metric], series),
            )
        )
    curves = _corruption_curves(study, analysis)
    if curves:
        drawn.append(
            Plot(
                "corruptions",
                f"Difference in {label} by corruption and strength",
                "Mean difference to the clean photos, image by image, and its 95 % bootstrap interval over images. The "
                "thin line is the clean photos. Numbers in paired.csv.",
                partial(draw_corruptions, curves, label),
            )
        )
    pair = scatter_pair(study, analysis)
    if pair is not None:
        metric = image_metric(study)
        drawn.append(
            Plot(
                "images",
                f"{titles[pair[1]]} against {titles[pair[0]]}, image by image",
                f"Each dot is an image's {metric_label(metric)}, averaged over seeds; above the diagonal the "
                "variant on the upright axis is better. Numbers in images.csv.",
                partial(draw_scatter, analysis.images, metric, pair, titles),
            )
        )
    return drawn


def scatter_pair(study: StudyRuns, analysis: Analysis) -> tuple[str, str] | None:
    """The baseline (or, without one, the second best) and the best of the other variants."""
    sign = 1 if lower_is_better(study.metric) else -1
    rows = sorted(rows_of(analysis.summary, study.metric), key=lambda row: sign * row["mean"])
    best = [row["variant"] for row in rows]
    if len(best) < 2:
        return None
    first = study.baseline if study.baseline in best else best[1]
    return first, next(name for name in best if name != first)


def _history_column(study: StudyRuns) -> str | None:
    """The validation score in the histories that is nearest to the study's metric."""
    columns = [name for run in study.runs for name in run.history.columns if name.startswith("val_")]
    wanted = (f"val_{study.metric}", f"val_micro_{study.metric}", *columns)
    return next((name for name in wanted if name in columns), None)


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

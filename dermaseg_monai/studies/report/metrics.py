"""Metrics of a study: their names in text, which row is best, and what counts as a clear difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dermaseg_monai.metrics import lower_is_better
from dermaseg_monai.studies.results import StudyRuns

SIGNIFICANT = 0.05
"""Below this, a corrected p is called a clear difference."""

_LABELS = {
    f"{name}{suffix}": f"{label} {unit}"
    for name, label in (("hd95", "95 % Hausdorff distance"), ("assd", "average surface distance"))
    for suffix, unit in (("", "in pixels"), ("_share", "as a share of the diagonal"), ("_mm", "in mm"))
}


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


def best_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of ``Analysis.summary`` with the best mean, of rows of one metric."""
    choose = min if lower_is_better(rows[0]["metric"]) else max
    return choose(rows, key=lambda row: row["mean"])

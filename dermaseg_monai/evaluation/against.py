"""Two programs on the same photos, by paired statistics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from dermaseg_monai.evaluation.masks import evaluate_masks
from dermaseg_monai.studies.report.metrics import metric_label
from dermaseg_monai.studies.report.page import FORMATS, verdict
from dermaseg_monai.studies.statistics import RESAMPLES, bootstrap, compare, holm, samples_of
from dermaseg_monai.utils.files import write_text


def compare_masks(
    scores: pd.DataFrame,
    other: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    section: str,
    task: str,
    *options: Any,
) -> str:
    """Score another program's masks of the same photos, and compare.

    Writes ``<output_dir>/against/metrics.csv`` and ``summary.json``, the other program's, and the table of
    :func:`compare_scores`, ``<output_dir>/against.csv``.

    Args:
        scores: of the first program, by :func:`dermaseg_monai.evaluation.masks.evaluate_masks`.
        other: folder of the other's masks.
        output_dir: folder to write into.
        dataset_dir: as for the first program; so are ``section``, ``task`` and the further ``options``.

    Returns:
        The table in words.

    Raises:
        InputError: the other's masks cannot be scored.
    """
    folder = Path(output_dir)
    others = evaluate_masks(other, folder / "against", dataset_dir, section, task, *options)
    table = compare_scores(scores, others, task)
    write_text(folder / "against.csv", table.to_csv(index=False, float_format="%.6g"))
    score, signed, p = (FORMATS[name] for name in ("score", "signed", "p"))
    shown = pd.DataFrame(
        {
            "": metric_label(row["metric"]),
            "masks": score(row["mean"]),
            "against": score(row["other"]),
            "difference": signed(row["difference"]),
            "95 % interval": f"{signed(row['low'])} to {signed(row['high'])}",
            "p (Holm)": p(row["p_bootstrap_holm"]),
            "masks are": verdict(row),
        }
        for _, row in table.iterrows()
    )
    count = scores["id"].nunique()
    return f"{shown.to_string(index=False)}\n{count} photos; the table is in {folder / 'against.csv'}"


def compare_scores(
    first: pd.DataFrame, second: pd.DataFrame, task: str = "lesion", resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Compare two evaluations of the same photos, metric by metric.

    Args:
        first: ``metrics.csv`` of one.
        second: of the other, on the same photos.
        task: "lesion" or "attribute".
        resamples: how often the photos are drawn.
        seed: of the draws.

    Returns:
        A row per metric: ``metric``, ``mean`` and ``other`` (the two means), ``difference`` (first less second),
        ``low`` and ``high`` (its 95 % bootstrap interval), ``p_bootstrap`` and ``p_wilcoxon`` with ``_holm`` for those
        corrected for the number of metrics, ``wilcoxon``, ``images``, ``images_better`` and ``images_worse`` (of the
        first). See :func:`dermaseg_monai.studies.statistics.compare`.
    """
    samples, others = samples_of([first], task), samples_of([second], task)
    metrics = [name for name in samples if name in others and not name.endswith(("_share", "_mm"))]
    draws = bootstrap([sample[name] for sample in (samples, others) for name in metrics], resamples, seed)
    rows = []
    for index, name in enumerate(metrics):
        change = draws[:, index] - draws[:, len(metrics) + index]
        means = {"mean": samples[name].by_seed().mean(), "other": others[name].by_seed().mean()}
        rows.append({"metric": name} | means | compare(samples[name], others[name], change))
    table = pd.DataFrame(rows)
    for test in ("bootstrap", "wilcoxon"):
        table[f"p_{test}_holm"] = holm(table[f"p_{test}"].to_numpy())
    return table

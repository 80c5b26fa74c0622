"""Report of a study: everything that ``dermaseg study report`` writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.studies.report.metrics import metric_label
from dermaseg_monai.studies.report.page import FORMATS, headline, render_page, verdict
from dermaseg_monai.studies.report.panels import panels
from dermaseg_monai.studies.report.plots import plots
from dermaseg_monai.studies.results import FinishedRun, StudyRuns, collect
from dermaseg_monai.studies.statistics import RESAMPLES, Analysis, analyse, rows_of
from dermaseg_monai.utils.files import write_text

_NO_DATASET = (
    "No panels: they need the photos. Make the report again with --dataset_dir, the prepared folder that the runs "
    "were scored on; the page then holds some of its photos, so mind who may see it."
)
_ONE_NETWORK = "No panels: every variant shows the photos otherwise, and keeps no masks."


def report_study(
    name: str,
    runs: str | os.PathLike[str] = "runs/ablations",
    output: str | os.PathLike[str] = "results/ablations",
    dataset_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Compare the variants of a study by the runs that have finished.

    Writes into ``<output>/<name>``: ``summary.csv``, ``paired.csv`` and ``images.csv`` (see
    :class:`dermaseg_monai.studies.statistics.Analysis`), ``epochs.csv``, ``summary.md``, ``plots/*.png``, and
    ``index.html``, which needs nothing beside it.

    Args:
        name: of the study.
        runs: folder of the studies' run folders.
        output: folder of the studies' reports.
        dataset_dir: the prepared folder that the runs were scored on; None leaves out the panels of photos.

    Returns:
        The page.

    Raises:
        InputError: there is no such study, no run of it has finished, or the folder has other images.
    """
    study = collect(name, runs)
    analysis = analyse(study)
    counts = {variant.name: _parameters(study.of(variant.name)[0]) for variant in study.scored()}
    analysis.summary["parameters"] = analysis.summary["variant"].map(counts)
    folder, epochs = Path(output) / name, study.epochs()
    for file, table in (
        ("summary", analysis.summary),
        ("paired", analysis.paired),
        ("images", analysis.images),
        *([("epochs", epochs)] if len(epochs) else []),
    ):
        write_text(folder / f"{file}.csv", table.to_csv(index=False, float_format="%.6g"))
    write_text(folder / "summary.md", _markdown(study, analysis))
    drawn = plots(study, analysis)
    for plot in drawn:
        plot.save(folder / "plots" / f"{plot.name}.png")
    shown = [] if dataset_dir is None or not study.trained else panels(study, analysis, dataset_dir)
    page = folder / "index.html"
    missing = _NO_DATASET if study.trained else _ONE_NETWORK
    write_text(page, render_page(study, analysis, drawn, shown, missing, folder))
    return page


def _parameters(run: FinishedRun) -> float:
    """Trainable parameters of a run's network; NaN where the run has no inference.json."""
    if not (run.folder / "configs" / "inference.json").is_file():
        return np.nan
    network = BundleFolder(run.folder).parts("network_def")["network_def"]
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def _markdown(study: StudyRuns, analysis: Analysis) -> str:
    titles = {variant.name: variant.title for variant in study.variants}
    paired = rows_of(analysis.paired, study.metric)
    score, signed, p, millions = (FORMATS[name] for name in ("score", "signed", "p", "millions"))
    parts = [
        f"# {study.title}",
        " ".join(headline(study, analysis)),
        _rows(
            [
                "variant",
                metric_label(study.metric),
                "95 % interval",
                "SD over seeds",
                "seeds",
                "minutes",
                "parameters",
            ],
            [
                [
                    row["title"] + (" (baseline)" if row["variant"] == study.baseline else ""),
                    score(row["mean"]),
                    f"{score(row['low'])} to {score(row['high'])}",
                    score(row["sd_seeds"]),
                    str(row["seeds"]),
                    score(row["minutes"], 1),
                    millions(row["parameters"]),
                ]
                for row in rows_of(analysis.summary, study.metric)
            ],
        ),
    ]
    if paired:
        parts += [
            f"## Against {titles[study.baseline]}",
            _rows(
                [
                    "variant",
                    "difference",
                    "95 % interval",
                    "p (bootstrap)",
                    "p (Wilcoxon)",
                    "seeds' range",
                    "",
                ],
                [
                    [
                        titles[row["variant"]],
                        signed(row["difference"]),
                        f"{signed(row['low'])} to {signed(row['high'])}",
                        p(row["p_bootstrap_holm"]),
                        p(row["p_wilcoxon_holm"]),
                        f"{signed(row['lowest_seed'])} to {signed(row['highest_seed'])}",
                        verdict(row),
                    ]
                    for row in paired
                ],
            ),
        ]
    if study.missing:
        parts += [
            "## Not in these numbers",
            "\n".join(
                f"- {titles[entry.variant]}, seed {entry.seed}: {entry.why}" for entry in study.missing
            ),
        ]
    parts.append(
        f"{len(study.images)} {study.section} images. Scores are means over seeds; intervals are percentiles of "
        f"{RESAMPLES:,} bootstrap resamples of the images, the same for all variants, and leave out the randomness of "
        "training, which the standard deviation over seeds shows. Both p are Holm-corrected over the variants; "
        "Wilcoxon's test compares image scores averaged over seeds. Other metrics are in summary.csv and paired.csv, "
        "image by image in images.csv; the runs are named in summary.csv."
    )
    return "\n\n".join(parts) + "\n"


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

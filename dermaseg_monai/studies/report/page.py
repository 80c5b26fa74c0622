"""A study as one page that needs nothing but itself."""

from __future__ import annotations

import base64
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Template
from markupsafe import Markup

import dermaseg_monai
from dermaseg_monai.metrics import lower_is_better
from dermaseg_monai.studies.report.metrics import SIGNIFICANT, best_of, image_metric, metric_label
from dermaseg_monai.studies.report.panels import Panel, legend
from dermaseg_monai.studies.report.plots import Plot
from dermaseg_monai.studies.results import FinishedRun, StudyRuns
from dermaseg_monai.studies.statistics import RESAMPLES, Analysis, rows_of
from dermaseg_monai.utils.templates import page_template

_TEMPLATES = resources.files("dermaseg_monai.studies.report") / "templates"
_CONFIGS = ("train", "inference", "evaluate")
# where a run writes and how it starts: no difference between variants
_PLACES = frozenset({"bundle_root", "ckpt_dir", "output_dir", "dataset_dir", "cache_dir", "seed"})
_ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """What a variant's configs say otherwise than the baseline's.

    Attributes:
        id: config id.
        files: the configs that have it, without their ending.
        baseline: its value there, as JSON; None where it has none.
        variant: its value here.
    """

    id: str
    files: tuple[str, ...]
    baseline: str | None
    variant: str | None


def headline(study: StudyRuns, analysis: Analysis) -> list[str]:
    """What the study found, in two or three sentences."""
    titles = {variant.name: variant.title for variant in study.variants}
    label = metric_label(study.metric)
    best = best_of(rows_of(analysis.summary, study.metric))
    extreme = "lowest" if lower_is_better(study.metric) else "highest"
    sentences = [
        f"{best['title']} scores {extreme}: {label} {best['mean']:.4f}, 95 % interval {best['low']:.4f} to "
        f"{best['high']:.4f}."
    ]
    paired = rows_of(analysis.paired, study.metric)
    if not paired:
        sentences.append(
            "Nothing can be compared: the baseline, or every other variant, has no finished run."
        )
        return sentences
    verdicts = Counter(verdict(row) for row in paired)
    sentences.append(
        f"Of {len(paired)} compared with {titles[study.baseline]}, {verdicts['better']} clearly better, "
        f"{verdicts['worse']} clearly worse, {verdicts['not told apart']} not told apart."
    )
    if study.trained and min(len(study.of(variant.name)) for variant in study.scored()) == 1:
        sentences.append(
            "Variants with one seed do not show how much of a difference is the luck of one training."
        )
    return sentences


def verdict(row: Mapping[str, Any] | pd.Series) -> str:
    """ "better", "worse" or "not told apart", of a row of ``Analysis.paired``."""
    if row["p_bootstrap_holm"] >= SIGNIFICANT:
        return "not told apart"
    return "better" if (row["difference"] > 0) != lower_is_better(row["metric"]) else "worse"


def differences(run: FinishedRun, baseline: FinishedRun) -> list[Difference]:
    """Compare the configs of two runs, id by id.

    Args:
        run: of a variant.
        baseline: of the baseline, best with the same seed.

    Returns:
        Where they differ, apart from folders and seeds; components of another class are given as a whole.
    """
    files_with: dict[tuple[str, str | None, str | None], list[str]] = {}
    for name in _CONFIGS:
        old, new = (_config(folder, name) for folder in (baseline.folder, run.folder))
        for identifier, before, after in _compared(old, new):
            if identifier.split("#")[0] not in _PLACES:
                files_with.setdefault((identifier, _shown(before), _shown(after)), []).append(name)
    return [Difference(key[0], tuple(files), *key[1:]) for key, files in files_with.items()]


def render_page(
    study: StudyRuns,
    analysis: Analysis,
    plots: Sequence[Plot],
    panels: Sequence[Panel],
    no_panels: str,
    folder: Path,
) -> str:
    """Make the page.

    Args:
        study: what was collected.
        analysis: its tables; the summary has a column ``parameters``.
        plots: to show.
        panels: to show.
        no_panels: why there are none.
        folder: where the page will lie; links to runs are relative to it.

    Returns:
        HTML with all pictures, styles and scripts inside.
    """
    titles = {variant.name: variant.title for variant in study.variants}
    references = {run.seed: run for run in study.of(study.baseline)}
    changes = []
    for variant in study.scored():
        run = study.of(variant.name)[0]
        if references and variant.name != study.baseline:
            reference = references.get(run.seed) or next(iter(references.values()))
            changes.append((variant, differences(run, reference)))
    return report_template((_TEMPLATES / "study.html.j2").read_text(encoding="utf-8")).render(
        study=study,
        titles=titles,
        headline=headline(study, analysis),
        metrics=[_table(study, analysis, metric) for metric in dict.fromkeys(analysis.summary["metric"])],
        plots=[
            {"plot": plot, "light": data_uri(plot.svg("light")), "dark": data_uri(plot.svg("dark"))}
            for plot in plots
        ],
        panels=[
            {
                "image": panel.image,
                "spread": panel.spread,
                "tiles": [
                    (tile.title, tile.score, data_uri(tile.jpeg, "image/jpeg")) for tile in panel.tiles
                ],
            }
            for panel in panels
        ],
        panel_metric=metric_label(image_metric(study)),
        legend=legend(study.task),
        no_panels=no_panels,
        changes=changes,
        runs=[_run(run, folder) for run in study.runs],
        planned=len(study.variants) * len(study.seeds),
        resamples=RESAMPLES,
        version=dermaseg_monai.__version__,
        **page_parts(),
    )


def _table(study: StudyRuns, analysis: Analysis, metric: str) -> dict[str, Any]:
    """The rows of one metric's table, with the places of its little interval plots in percent."""
    summary = rows_of(analysis.summary, metric)
    paired = {row["variant"]: row for row in rows_of(analysis.paired, metric)}
    reach = (
        1.05 * max((abs(row[end]) for row in paired.values() for end in ("low", "high")), default=0) or 1.0
    )
    best = best_of(summary)["mean"]
    rows = []
    for row in summary:
        against = paired.get(row["variant"])
        if against is not None:
            against["verdict"] = verdict(against)
            against["left"], against["dot"], against["right"] = (
                round(50 + 50 * against[name] / reach, 2) for name in ("low", "difference", "high")
            )
        rows.append(row | {"against": against, "best": math.isclose(row["mean"], best)})
    return {"name": metric, "label": metric_label(metric), "main": metric == study.metric, "rows": rows}


def _run(run: FinishedRun, folder: Path) -> dict[str, Any]:
    relative = os.path.relpath(run.folder.absolute(), folder.absolute()).replace(os.sep, "/")
    files = {
        name: quote(f"{relative}/{file}")
        for name, file in (
            ("per-image scores", "evaluation/metrics.csv"),
            ("summary", "evaluation/summary.json"),
            ("history", "output/history.csv"),
            ("configs", "configs"),
            ("run.json", "run.json"),
        )
        if (run.folder / file).exists()
    }
    record = run.record
    return {
        "variant": run.variant,
        "seed": run.seed,
        "place": relative,
        "link": quote(relative),
        "files": files,
        "minutes": float(record.get("minutes") or math.nan),
        "epochs": record.get("epochs"),
        "device": record.get("device"),
        "git": _revision(str(record.get("git") or "")),
        "finished": str(record.get("finished") or "")[:16].replace("T", " "),
    }


def _revision(git: str) -> str:
    """A short revision that still says when the code had changes of its own."""
    revision, _, changed = git.partition("-")
    return f"{revision[:10]}-{changed}" if changed else revision[:10]


def _config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / "configs" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _compared(old: Any, new: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    if old == new:
        return []
    same_kind = isinstance(old, dict) and isinstance(new, dict) and old.get("_target_") == new.get("_target_")
    if same_kind:
        keys = dict.fromkeys([*old, *new])
        pairs = [(key, old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in keys]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and _nested(old + new):
        pairs = [(str(index), *pair) for index, pair in enumerate(zip(old, new, strict=True))]
    else:
        return [(prefix, old, new)]
    return [
        difference
        for key, before, after in pairs
        for difference in _compared(before, after, f"{prefix}#{key}" if prefix else key)
    ]


def _nested(values: list[Any]) -> bool:
    return all(isinstance(value, (dict, list)) for value in values)


def _shown(value: Any) -> str | None:
    return None if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def data_uri(content: bytes, kind: str = "image/svg+xml") -> str:
    """A picture as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


_NONE, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def _score(value: float, digits: int = 4) -> str:
    return _NONE if pd.isna(value) else f"{value:.{digits}f}"


def _signed(value: float) -> str:
    return _NONE if pd.isna(value) else f"{value:+.4f}".replace("-", _MINUS)


def _percent(value: float) -> str:
    return _NONE if pd.isna(value) else f"{100 * value:.1f} %"


def _probability(value: float) -> str:
    return _NONE if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _millions(value: float) -> str:
    return _NONE if pd.isna(value) else f"{value / 1e6:.1f} M" if value >= 1e5 else f"{value:,.0f}"


def _unbroken(text: str) -> str:
    """So that no heading ends a line after "U-"."""
    return text.replace("-", "\N{NON-BREAKING HYPHEN}")


FORMATS: dict[str, Callable[..., str]] = {
    "score": _score,
    "signed": _signed,
    "p": _probability,
    "percent": _percent,
    "millions": _millions,
}
"""How numbers are written in pages, by the name that the template uses."""


def page_parts() -> dict[str, Markup]:
    """The style and the script that the project's pages share, by the name that templates use."""
    return {
        name: Markup((_TEMPLATES / file).read_text(encoding="utf-8"))
        for name, file in (("css", "study.css"), ("script", "study.js"))
    }


def report_template(text: str) -> Template:
    """A page's template, with the project's formats of numbers."""
    return page_template(text, FORMATS | {"unbroken": _unbroken})

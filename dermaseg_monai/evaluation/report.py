"""The page of strata: plots, tables, and the worst photos of each stratum."""

from __future__ import annotations

import io
import logging
import os
import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

import dermaseg_monai
from dermaseg_monai.data.saved_masks import find_masks, read_pair
from dermaseg_monai.evaluation.features import photo_features
from dermaseg_monai.evaluation.people import PEOPLE
from dermaseg_monai.evaluation.strata import (
    FAILED,
    METRIC,
    Stratum,
    read_metadata,
    score_strata,
    strata_of,
    worst_photos,
)
from dermaseg_monai.image_files import read_photo
from dermaseg_monai.studies.report.metrics import SIGNIFICANT
from dermaseg_monai.studies.report.page import data_uri, page_parts, report_template
from dermaseg_monai.studies.report.panels import legend
from dermaseg_monai.studies.report.plots import Plot
from dermaseg_monai.studies.statistics import RESAMPLES
from dermaseg_monai.utils.files import write_text
from dermaseg_monai.utils.threads import bounded_map
from dermaseg_monai.visualize.overlay import outlined

logger = logging.getLogger(__name__)

WORST = 4
"""Photos shown of each stratum."""

_SIDE = 280  # pixels of a tile's long side
_COLUMNS = (
    ("stratum", "Stratum", "text"),
    ("images", "Photos", "number"),
    ("jaccard", "Jaccard", "number"),
    ("failed", "Failed", "number"),
    ("difference", "To the others", "number"),
    ("p", "p", "number"),
    ("dice", "Dice", "number"),
    ("surface_dice", "Surface Dice", "number"),
    ("hd95_share", "95 % distance, of the diagonal", "number"),
)
_FEATURES = {
    "lesion_share": (
        "Lesion size",
        "Share of the photo that the true mask covers, in quarters of the photos.",
    ),
    "edge_share": ("Contact with the edge", "Whether the true mask reaches the photo's edge."),
    "regions": ("Number of regions", "Connected regions of the true mask."),
    "hair_share": (
        "Hair",
        "Share of the skin beside the lesion under dark hair: long thin dark structures, by a morphological black-hat. "
        "Light hair is not seen; a ruler's marks and deep skin lines may be taken for hair.",
    ),
    "ruler": (
        "Ruler",
        "Whether marks stand at equal distances along a straight line beside the lesion. Single marks on the lens's "
        "rim, white marks and scales that hair hides are not found.",
    ),
    "border_share": (
        "Dark border",
        "Whether the black border of the lens takes more than 0.5 % of the photo.",
    ),
    "sharpness": (
        "Sharpness",
        "Variance of the Laplacian of the grey photo at 384 pixels or less. Low in blurred photos, but also in sharp "
        "ones of smooth skin.",
    ),
    "skin_tone": (
        "Skin tone",
        "Individual typology angle of the skin around the lesion, in the classes of its authors. In dermoscopy it also "
        "depends on the lamp, its polarisation, the camera's white balance and redness: it orders photos, and does not "
        "tell a person's skin type.",
    ),
    "contrast": (
        "Contrast",
        "Distance between the colours of the lesion and of the skin around it (CIE76, medians).",
    ),
}


def report_strata(
    scores: pd.DataFrame,
    masks: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    data: Sequence[dict[str, Any]],
    section: str = "test",
    metadata: str | os.PathLike[str] | None = None,
) -> Path:
    """Say where a program fails.

    Writes ``features.csv`` (a row per photo), ``strata.csv`` (of
    :func:`dermaseg_monai.evaluation.strata.score_strata`) and ``strata.html``, a page that needs nothing beside it and
    holds some of the photos.

    Args:
        scores: ``metrics.csv`` of the masks, a row per photo.
        masks: folder of the masks.
        output_dir: folder to write into.
        data: of :func:`dermaseg_monai.data.load_datalist`, each scored photo among it.
        section: what the photos are, for the page and for messages.
        metadata: CSV file with a column of ids and further columns to make strata by.

    Returns:
        The page.

    Raises:
        InputError: a photo or the metadata cannot be read.
    """
    folder = Path(output_dir)
    scores = scores.sort_values("id", ignore_index=True)
    ids = list(scores["id"])
    all_items = {item["id"]: item for item in data}
    items = {name: all_items[name] for name in ids}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        described = bounded_map(pool, photo_features, list(items.values()), ahead=32)
        rows = list(tqdm(described, total=len(ids), desc="features", unit="photo", disable=None))
    features = pd.DataFrame(rows).drop(columns="id")
    if metadata is not None:
        columns = read_metadata(metadata, ids).reset_index(drop=True)
        features = pd.concat([features, columns.rename(columns=lambda name: f"metadata: {name}")], axis=1)
    write_text(folder / "features.csv", features.assign(id=ids).to_csv(index=False, float_format="%.6g"))
    strata = strata_of(features)
    table = score_strata(scores, strata)
    write_text(folder / "strata.csv", table.to_csv(index=False, float_format="%.6g"))
    files = find_masks(masks, list(items.values()), section)
    tiles = _Tiles(items, files, dict(zip(ids, scores[METRIC], strict=True)))
    page = report_template(_template()).render(
        title="Where it fails, and for whom",
        masks=Path(masks).name,
        section=section,
        headline=headline(table),
        images=len(scores),
        mean=scores[METRIC].mean(),
        failed=(scores[METRIC] < FAILED).mean(),
        limit=FAILED,
        count=len(strata),
        columns=_COLUMNS,
        features=[
            _feature(
                str(name), rows, [stratum for stratum in strata if stratum.feature == name], scores, tiles
            )
            for name, rows in table.groupby("feature", sort=False)
        ],
        legend=legend("lesion"),
        people=PEOPLE,
        resamples=RESAMPLES,
        version=dermaseg_monai.__version__,
        **page_parts(),
    )
    write_text(folder / "strata.html", page)
    return folder / "strata.html"


def headline(table: pd.DataFrame) -> list[str]:
    """What the strata say, in two or three sentences.

    Args:
        table: of :func:`dermaseg_monai.evaluation.strata.score_strata`.
    """
    if table.empty:
        return ["There are too few photos to make strata of."]
    clear = table[table["p_bootstrap_holm"] < SIGNIFICANT].sort_values("difference")
    worse = clear[clear["difference"] < 0]
    sentences = [
        f"Of {len(table)} strata, {len(worse)} score clearly worse than the other photos and {len(clear) - len(worse)} "
        "clearly better."
    ]
    for _, row in worse.head(2).iterrows():
        sentences.append(
            f"{feature_title(row['feature'])}, {row['stratum']}: Jaccard {row['jaccard']:.3f} on {row['images']} "
            f"photos, {abs(row['difference']):.3f} below the others; {row['failed']:.0%} failed."
        )
    return sentences


def feature_title(feature: str) -> str:
    """A feature's name in text."""
    return _FEATURES[feature][0] if feature in _FEATURES else feature.removeprefix("metadata: ")


class _Tiles:
    """Photos with both outlines, drawn once each."""

    def __init__(
        self, items: dict[str, dict[str, Any]], files: dict[str, list[Path]], scores: dict[str, float]
    ) -> None:
        self.items, self.files, self.scores = items, files, scores
        self.drawn: dict[str, dict[str, Any]] = {}

    def __call__(self, name: str) -> dict[str, Any]:
        if name not in self.drawn:
            masks, truth = read_pair(self.items[name], self.files[name])
            image = Image.fromarray(read_photo(self.items[name]["image"], reduce_to=_SIDE))
            image.thumbnail((_SIDE, _SIDE))
            outlined(image, np.concatenate([truth, masks]), list(legend("lesion").values()), width=2)
            stream = io.BytesIO()
            image.save(stream, format="JPEG", quality=80)
            uri = data_uri(stream.getvalue(), "image/jpeg")
            self.drawn[name] = {"id": name, "score": self.scores[name], "uri": uri}
        return self.drawn[name]


def _feature(
    name: str, table: pd.DataFrame, strata: Sequence[Stratum], scores: pd.DataFrame, tiles: _Tiles
) -> dict[str, Any]:
    title = feature_title(name)
    note = _FEATURES[name][1] if name in _FEATURES else "A column of the table of metadata."
    rows = [dict(row) for _, row in table.iterrows()]
    for row, stratum in zip(rows, strata, strict=True):
        clear = row["p_bootstrap_holm"] < SIGNIFICANT
        row["verdict"] = "not" if not clear else "better" if row["difference"] > 0 else "worse"
        row["worst"] = [tiles(photo) for photo in worst_photos(scores, stratum, WORST)]
    plot = Plot(name, title, note, partial(_draw, rows, scores[METRIC].mean()))
    return {
        "id": "".join(letter if letter.isalnum() else "-" for letter in name),
        "title": title,
        "note": note,
        "rows": rows,
        "light": data_uri(plot.svg("light")),
        "dark": data_uri(plot.svg("dark")),
    }


def _draw(rows: Sequence[dict[str, Any]], mean: float) -> Figure:
    """Mean Jaccard index and interval of each stratum, and the mean of all photos."""
    figure = Figure(figsize=(6.5, 0.9 + 0.34 * len(rows)), layout="constrained")
    axis = figure.subplots()
    ink = matplotlib.rcParams["text.color"]
    axis.axvline(mean, color=ink, linewidth=0.9, linestyle=":")
    colours = {"not": ink, "better": "#1fa187", "worse": "#d1495b"}
    for line, row in enumerate(rows):
        colour = colours[row["verdict"]]
        axis.plot([row["low"], row["high"]], [line] * 2, color=colour, linewidth=2.4, solid_capstyle="round")
        axis.plot(row["jaccard"], line, marker="o", markersize=7, color=colour)
    labels = [f"{textwrap.shorten(row['stratum'], 34)} ({row['images']})" for row in rows]
    axis.set_yticks(range(len(rows)), labels)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("mean Jaccard index, 95 % interval; dotted: all photos")
    axis.grid(axis="x")
    return figure


def _template() -> str:
    file = resources.files("dermaseg_monai.evaluation") / "templates" / "strata.html.j2"
    return file.read_text(encoding="utf-8")

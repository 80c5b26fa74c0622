"""Frequency of the attributes in a prepared dataset, and the share of the photos that they cover."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets import ATTRIBUTES, SECTIONS
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.utils.files import atomic_path
from dermaseg_monai.utils.threads import bounded_map
from dermaseg_monai.visualize.colours import COLOURS


def attribute_distribution(dataset_dir: str | os.PathLike[str]) -> pd.DataFrame:
    """Count the attributes of a prepared folder.

    Args:
        dataset_dir: folder that ``prepare`` wrote, with attribute masks.

    Returns:
        A row per section and attribute: ``section``, ``attribute``, ``images`` (that have it), ``image_share``
        (of the section's images), ``pixel_share`` (mean share of a photo's pixels, over all images) and
        ``pixel_share_present`` (over the images that have it; NaN where none has).

    Raises:
        InputError: the folder is not prepared or has no attribute masks.
    """
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for section in SECTIONS:
            items = load_datalist(dataset_dir, section, "attribute")
            results = bounded_map(pool, _shares, [item["label"] for item in items], ahead=32)
            progress = tqdm(results, total=len(items), desc=section, unit="image", disable=None)
            shares = np.stack(list(progress))
            for name, column in zip(ATTRIBUTES, shares.T, strict=True):
                present = column[column > 0]
                rows.append(
                    {
                        "section": section,
                        "attribute": name,
                        "images": len(present),
                        "image_share": len(present) / len(items),
                        "pixel_share": column.mean(),
                        "pixel_share_present": present.mean() if len(present) else np.nan,
                    }
                )
    return pd.DataFrame(rows)


def plot_distribution(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Draw the images that have each attribute, and the pixels it covers, section by section.

    Args:
        table: of :func:`attribute_distribution`.
        path: the PNG to write.
    """
    sections = list(dict.fromkeys(table["section"]))
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    charts = (
        ("images", "images that have it", "{:.0f}"),
        ("image_share", "share of images", "{:.0%}"),
        ("pixel_share", "share of all pixels", "{:.2%}"),
    )
    for axis, (column, title, text) in zip(figure.subplots(1, len(charts)), charts, strict=True):
        for index, section in enumerate(sections):
            rows = table[table["section"] == section].set_index("attribute").reindex(list(COLOURS))
            bars = axis.bar(
                np.arange(len(COLOURS)) + 0.27 * (index - (len(sections) - 1) / 2),
                rows[column],
                width=0.25,
                color=list(COLOURS.values()),
                alpha=1 - 0.3 * index,
                edgecolor="black",
                linewidth=0.4,
            )
            axis.bar_label(
                bars, [text.format(value) for value in rows[column]], fontsize=6, rotation=90, padding=2
            )
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(COLOURS)), [name.replace("_", "\n") for name in COLOURS], fontsize=7)
        axis.margins(y=0.18)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"in each group of bars: {', '.join(sections)}", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _shares(paths: list[str]) -> np.ndarray:
    return np.array([read_mask(path).mean() for path in paths])

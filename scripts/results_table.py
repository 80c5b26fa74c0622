"""Print the tables that compare the lesion networks on the test split, and draw their pictures.

    python scripts/results_table.py [--output docs/images]

The first is of every network scored at its own recipe: reads ``results/NETWORK/metrics.csv``, a row per test image, and
``results/networks.csv``, which ``benchmarks/networks.py`` writes. The second is of one protocol for all: reads
``results/architecture_64`` and ``results/peers_64``, which ``dermaseg study report`` writes, and
``results/networks_64.csv``. The third sets pairs of these against each other. The fourth has the spread of those that
were trained with further seeds: reads the folders ``seed1`` and so on of the two studies. The fifth, on validation
photos, has the flagship trained at half the size first: reads ``results/half_size_first``. Intervals and differences
are of 10,000 bootstrap resamples of the images, the same draws for all, seed 0; no correction for their number.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fire
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

from dermaseg_monai.bundle.catalogue import BUNDLES, FLAGSHIP
from dermaseg_monai.studies.catalogue import get_study
from dermaseg_monai.studies.statistics import bootstrap, interval, samples_of
from dermaseg_monai.utils.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]

PROTOCOL, PEERS = "architecture_64", "peers_64"
"""The studies that train all networks alike, the collection's and others'."""

PROTOCOL_METRICS = {
    "dice": "Dice",
    "jaccard": "Jaccard",
    "threshold_jaccard": "threshold Jaccard",
    "accuracy": "accuracy",
}
"""The columns of the protocol's table and what they are called."""

PROTOCOL_PAIRS = (
    ("lesion_unetpp", "lesion_unet"),
    ("lesion_unetpp", "monai_basic_unet"),
    ("monai_basic_unet", "lesion_unet"),
    ("monai_basic_unet", "lesion_unet_compact"),
    ("lesion_segnet", "lesion_unet"),
    ("lesion_attention_unet", "lesion_unet"),
    ("lesion_transunet", "lesion_unet"),
    ("lesion_transunet", "lesion_unetpp"),
    ("lesion_ba_deeplabv3", "lesion_deeplabv3"),
)
"""Networks of the protocol that a question sets against each other."""

AS_SHIPPED = "as_shipped"

HALF_SIZE_FIRST = {
    AS_SHIPPED: "as shipped",
    "isic_alone": "first stage ISIC 2018",
    "both_sets": "first stage both sets",
}
"""Trainings of the flagship; they are compared with the one that ships."""

HALF_SIZE_SETS = {"isic2018": "ISIC 2018", "ham10000": "HAM10000"}
"""The sets on whose validation photos they are scored."""


def main(output: str = str(ROOT / "docs" / "images")) -> None:
    """Print the tables and draw the pictures."""
    rows = compared()
    print(
        "| network | Dice | Jaccard | 95 % interval | against the flagship | 95 % interval | parameters | ms |"
    )
    print("|---|--:|--:|---|--:|---|--:|--:|")
    for row in rows:
        print(row_text(row))
    draw(pd.DataFrame(rows), Path(output) / "results.png")
    protocol = by_protocol()
    metrics = " | ".join(PROTOCOL_METRICS.values())
    print(
        f"\n| network | rate | {metrics} | Jaccard against the flagship | 95 % interval | parameters | minutes | ms |"
    )
    print(f"|---|---|{'---|' * len(PROTOCOL_METRICS)}--:|---|--:|--:|--:|")
    for row in protocol:
        print(protocol_text(row))
    draw(pd.DataFrame(protocol), Path(output) / "results_64.png")
    print("\n| network | against | difference of Jaccard | 95 % interval |\n|---|---|--:|---|")
    for row in protocol_pairs():
        print(pair_text(row))
    print(f"\n| network | seeds | {' | '.join(PROTOCOL_METRICS.values())} | Jaccard of each |")
    print(f"|---|---|{'---|' * len(PROTOCOL_METRICS)}---|")
    for seeds in protocol_seeds():
        print(seeds_text(seeds))
    print(
        "\n| scored on | what | Dice | Jaccard | threshold Jaccard | Jaccard against as shipped | 95 % interval |"
    )
    print("|---|---|--:|--:|--:|--:|---|")
    for row in half_size_first():
        print(half_size_text(row))


def compared(results: Path = ROOT / "results") -> list[dict]:
    """Scores of every network, best first, with its size and time.

    Returns:
        A row per network: ``name``, ``dice``, ``jaccard``, ``low``, ``high``, ``difference`` of Jaccard to the
        flagship's with ``difference_low`` and ``difference_high``, ``parameters`` in millions, ``ms`` for a photo.
    """
    speed = pd.read_csv(results / "networks.csv").set_index("bundle")
    names = [bundle.name for bundle in BUNDLES if (results / bundle.name / "metrics.csv").is_file()]
    images = {name: pd.read_csv(results / name / "metrics.csv") for name in names if name in speed.index}
    rows = [
        {
            "name": name,
            "dice": images[name]["dice"].mean(),
            **scores,
            "parameters": speed["parameters"][name] / 1e6,
            "ms": speed["ms"][name],
        }
        for name, scores in against(FLAGSHIP, images).items()
    ]
    return sorted(rows, key=lambda row: -row["jaccard"])


def against(baseline: str, images: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Jaccard of each network, and its difference to the baseline's, from the rows of its images.

    Returns:
        By name, ``jaccard``, ``low``, ``high``, ``difference``, ``difference_low``, ``difference_high``.
    """
    samples = {name: samples_of([table], "lesion")["jaccard"] for name, table in images.items()}
    draws = dict(zip(samples, bootstrap(list(samples.values())).T, strict=True))
    means = {name: sample.by_seed().mean() for name, sample in samples.items()}
    rows = {}
    for name, mean in means.items():
        low, high = interval(draws[name])
        difference_low, difference_high = interval(draws[name] - draws[baseline])
        rows[name] = {"jaccard": mean, "low": low, "high": high, "difference": mean - means[baseline]}
        rows[name] |= {"difference_low": difference_low, "difference_high": difference_high}
    return rows


def difference_text(row: dict, baseline: str = FLAGSHIP) -> tuple[str, str]:
    """The difference, and its interval; nothing for what the table compares to, by default the flagship."""
    if row["name"] == baseline:
        return "", ""
    return f"{row['difference']:+.4f}", f"{row['difference_low']:+.4f} to {row['difference_high']:+.4f}"


def row_text(row: dict) -> str:
    """A row of the table in docs/results.md."""
    cells = [
        f"`{row['name']}`",
        f"{row['dice']:.4f}",
        f"{row['jaccard']:.4f}",
        f"{row['low']:.4f} to {row['high']:.4f}",
        *difference_text(row),
        f"{row['parameters']:.1f} M",
        f"{row['ms']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def by_protocol(results: Path = ROOT / "results") -> list[dict]:
    """Scores of every network by the studies ``architecture_64`` and ``peers_64``, best Jaccard first.

    Returns:
        A row per network: ``name``, ``rate``, each of :data:`PROTOCOL_METRICS` with its bounds as ``METRIC_low`` and
        ``METRIC_high``, what :func:`against` says of the flagship, ``parameters`` in millions, ``minutes`` of training,
        ``ms`` for a photo, NaN for the peers.
    """
    speed = pd.read_csv(results / "networks_64.csv").set_index("bundle")["ms"]
    peers = json.loads((ROOT / "scripts" / "studies" / f"{PEERS}.json").read_text(encoding="utf-8"))
    rates = {variant["name"]: peers["overrides"]["learning_rate"] for variant in peers["variants"]}
    rates |= {variant.name: variant.overrides["learning_rate"] for variant in get_study(PROTOCOL).variants}
    summary, epochs = of_protocol("summary", results), of_protocol("epochs", results)
    rows = []
    for name, difference in against(FLAGSHIP, protocol_images(results)).items():
        scores = summary[summary["variant"] == name].set_index("metric")
        row = {"name": name, "rate": f"{rates[name]:g}", **difference}
        for metric in PROTOCOL_METRICS:
            row[metric] = scores["mean"][metric]
            row[f"{metric}_low"], row[f"{metric}_high"] = scores["low"][metric], scores["high"][metric]
        row["parameters"] = scores["parameters"].iloc[0] / 1e6
        seconds = epochs["seconds"][epochs["variant"] == name]
        # the median epoch stands for each, as other work may have held up single ones
        row["minutes"] = len(seconds) * seconds.median() / 60
        row["ms"] = speed.get(name, math.nan)
        rows.append(row)
    return sorted(rows, key=lambda row: -row["jaccard"])


def of_protocol(file: str, results: Path) -> pd.DataFrame:
    """One of the tables that the reports of both studies wrote."""
    return pd.concat(pd.read_csv(results / study / f"{file}.csv") for study in (PROTOCOL, PEERS))


def protocol_images(results: Path) -> dict[str, pd.DataFrame]:
    """By network, the rows of its images."""
    images = of_protocol("images", results)
    return {str(name): table.drop(columns="variant") for name, table in images.groupby("variant")}


def protocol_pairs(results: Path = ROOT / "results") -> list[dict]:
    """The pairs of :data:`PROTOCOL_PAIRS`: ``name``, ``baseline`` and what :func:`against` says."""
    images = protocol_images(results)
    return [
        {
            "name": name,
            "baseline": baseline,
            **against(baseline, {key: images[key] for key in (name, baseline)})[name],
        }
        for name, baseline in PROTOCOL_PAIRS
    ]


def pair_text(row: dict) -> str:
    """A row of the table of pairs in docs/results.md."""
    return "| " + " | ".join([f"`{row['name']}`", f"`{row['baseline']}`", *difference_text(row)]) + " |"


def protocol_seeds(results: Path = ROOT / "results") -> list[pd.DataFrame]:
    """Mean scores of each training of the networks that have more than one, best mean Jaccard first.

    Returns:
        A table per network with a row per seed: ``variant``, ``seed`` and :data:`PROTOCOL_METRICS`.
    """
    tables = []
    for study in (PROTOCOL, PEERS):
        for file in (results / study / "images.csv", *sorted((results / study).glob("seed*/images.csv"))):
            means = pd.read_csv(file).groupby("variant", as_index=False)[list(PROTOCOL_METRICS)].mean()
            tables.append(
                means.assign(seed=int(file.parent.name.removeprefix(study).removeprefix("seed") or 0))
            )
    several = [table for _, table in pd.concat(tables).groupby("variant") if len(table) > 1]
    return sorted(several, key=lambda table: -table["jaccard"].mean())


def seeds_text(seeds: pd.DataFrame) -> str:
    """A row of the table of seeds in docs/results.md: mean and standard deviation over trainings."""
    scores = [f"{seeds[metric].mean():.4f} ± {seeds[metric].std():.4f}" for metric in PROTOCOL_METRICS]
    numbers = ", ".join(str(seed) for seed in seeds["seed"])
    each = ", ".join(f"{value:.4f}" for value in seeds["jaccard"])
    return "| " + " | ".join([f"`{seeds['variant'].iloc[0]}`", numbers, *scores, each]) + " |"


def half_size_first(results: Path = ROOT / "results") -> list[dict]:
    """The trainings of :data:`HALF_SIZE_FIRST` on each of :data:`HALF_SIZE_SETS`.

    Returns:
        A row per set and training: ``set``, ``name``, ``dice``, ``threshold_jaccard`` and what :func:`against` says of
        the shipped one.
    """
    rows = []
    for of_set in HALF_SIZE_SETS:
        files = {name: results / "half_size_first" / name / f"{of_set}.csv" for name in HALF_SIZE_FIRST}
        images = {name: pd.read_csv(file) for name, file in files.items()}
        for name, scores in against(AS_SHIPPED, images).items():
            means = images[name][["dice", "threshold_jaccard"]].mean()
            rows.append({"set": of_set, "name": name, **means, **scores})
    return rows


def half_size_text(row: dict) -> str:
    """A row of the table of the flagship at half the size first in docs/results.md."""
    scores = [f"{row[metric]:.4f}" for metric in ("dice", "jaccard", "threshold_jaccard")]
    cells = [
        HALF_SIZE_SETS[row["set"]],
        HALF_SIZE_FIRST[row["name"]],
        *scores,
        *difference_text(row, AS_SHIPPED),
    ]
    return "| " + " | ".join(cells) + " |"


def protocol_text(row: dict) -> str:
    """A row of the table of the protocol in docs/results.md."""
    scores = [
        f"{row[metric]:.4f} ({row[f'{metric}_low']:.3f} to {row[f'{metric}_high']:.3f})"
        for metric in PROTOCOL_METRICS
    ]
    time = "" if math.isnan(row["ms"]) else f"{row['ms']:.0f}"
    sizes = [f"{row['parameters']:.1f} M", f"{row['minutes']:.0f}", time]
    return "| " + " | ".join([f"`{row['name']}`", row["rate"], *scores, *difference_text(row), *sizes]) + " |"


def draw(table: pd.DataFrame, output: Path) -> None:
    """Mean Dice against parameters and against time."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    labels = {"parameters": "parameters, million", "ms": "processor time for a photo, ms"}
    for axis, (column, label) in zip(axes, labels.items(), strict=True):
        axis.scatter(table[column], table["dice"], s=45, color="#0b6e4f", zorder=3)
        axis.set(xscale="log", xlabel=label)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(0.15, 0.15)
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean Dice, 389 test photos")
    figure.draw_without_rendering()  # names are placed by where the dots come to lie
    for axis, column in zip(axes, labels, strict=True):
        name_dots(axis, table, column)
    with atomic_path(output) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


PLACES: tuple[dict[str, Any], ...] = (
    {"xytext": (0, 6), "ha": "center", "va": "bottom"},
    {"xytext": (0, -6), "ha": "center", "va": "top"},
    {"xytext": (7, 0), "ha": "left", "va": "center"},
    {"xytext": (-7, 0), "ha": "right", "va": "center"},
)
"""Where the name of a dot may stand, in points from it, the preferred first."""


def name_dots(axis: Axes, table: pd.DataFrame, column: str) -> None:
    """Write each network's name beside its dot, in the first place that is free of dots and of other names."""
    dots = table.dropna(subset=column)
    centres = axis.transData.transform(dots[[column, "dice"]])
    taken = [Bbox.from_extents(*(centre - 5), *(centre + 5)) for centre in centres]
    for row in dots.to_dict("records"):
        for place in PLACES:
            text = axis.annotate(
                row["name"].removeprefix("lesion_"),
                (row[column], row["dice"]),
                textcoords="offset points",
                fontsize=8,
                **place,
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            sys.exit(f"The name of {row['name']} finds no free place in the picture.")
        taken.append(box)


if __name__ == "__main__":
    fire.Fire(main)

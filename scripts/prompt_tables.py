"""Print the tables of docs/results.md that say what a prompt is worth to ``lesion_mobile_sam``.

    python scripts/prompt_tables.py

Reads ``results/lesion_mobile_sam``: for each training a folder with what ``dermaseg compare-prompts`` wrote, and
``flagship_doubt.csv``, the flagship's ``confidence`` in its mask of each validation and test photo. The first table has
every prompt's scores on the test split, the second the clicks that it takes, the third the scores on 100 validation
photos. The last says what refining the flagship's mask changes, and where.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from dermaseg_monai.sam.comparison import ORACLE, TARGETS
from dermaseg_monai.sam.simulated_clicks import clicks_needed

RESULTS = Path(__file__).resolve().parents[1] / "results" / "lesion_mobile_sam"

TRAININGS = {"before": "before", "box": "box", "mixed": "mixed", "mixed_all": "mixed, all"}
"""Folders of the trainings, in the tables' order, and what heads their columns."""

SHIPPED = "mixed_all"
"""The training whose weights the bundle ships."""

DOUBT = {"the first 10 %": 0.0, "10 to 25 %": 0.1, "25 to 50 %": 0.25, "the surest half": 0.5}
"""Groups of photos, the least sure first, and where they begin, as a share of all."""

_KINDS = {"box": "box", "box_and_points": "box and centre point", "box_and_mask": "box and mask"}


def main() -> None:
    """Print the tables."""
    heads = " | ".join(f"{metric} {head}" for metric in ("Dice", "Jaccard") for head in TRAININGS.values())
    print(f"| prompt | source | {heads} |")
    print("|---|---|" + "--:|" * 2 * len(TRAININGS))
    for row in prompt_rows():
        print(row)
    print(f"\n| clicks, of at most 5 | {' | '.join(TRAININGS.values())} |")
    print("|---|" + "---|" * len(TRAININGS))
    for target in TARGETS:
        print(click_row(target))
    print(f"\n| prompt | {' | '.join(TRAININGS.values())} |")
    print("|---|" + "--:|" * len(TRAININGS))
    for row in validation_rows():
        print(row)
    better, worse, change = refined()
    print(
        f"\nrefined by box and mask: {better} of the test masks better, {worse} worse, {change} of Jaccard\n"
    )
    print("| least sure | flagship, validation | change, validation | flagship, test | change, test |")
    print("|---|--:|---|--:|---|")
    for group in DOUBT:
        print(doubt_row(group))


def prompt_rows() -> list[str]:
    """The table's rows of the test split: Dice and Jaccard of every prompt after each training."""
    tables = _tables("test")
    return [
        " | ".join(
            [
                f"| {_named(prompt)}",
                "oracle" if prompt["source"] == ORACLE else "predicted",
                *(f"{table.loc[row, metric]:.4f}" for metric in ("dice", "jaccard") for table in tables),
            ]
        )
        + " |"
        for row, prompt in _in_order(tables[0])
    ]


def validation_rows() -> list[str]:
    """The table's rows of the validation photos: Jaccard of every prompt after each training."""
    tables = _tables("validation")
    return [
        " | ".join(
            [
                f"| {_named(prompt)} ({'oracle' if prompt['source'] == ORACLE else 'predicted'})",
                *(f"{table.loc[row, 'jaccard']:.4f}" for table in tables),
            ]
        )
        + " |"
        for row, prompt in _in_order(tables[0])
    ]


def click_row(target: float) -> str:
    """The table's row of a target: clicks that it takes on the test split, and how many photos never reach it."""
    cells = []
    for training in TRAININGS:
        scores = _scores(training, "test")
        clicks = scores[scores["kind"].str.startswith("clicks_")].pivot(
            index="id", columns="kind", values="jaccard"
        )
        reached = clicks.to_numpy()
        needed = clicks_needed(reached, target).mean()
        cells.append(f"{needed:.2f} ({(reached < target).all(axis=1).mean() * 100:.1f} %)")
    return f"| NoC@{target * 100:.0f} (photos that do not reach it) | {' | '.join(cells)} |"


def refined() -> tuple[int, int, str]:
    """Test masks of the flagship that its own box and mask as a prompt make better, and worse, and the mean change."""
    change = _change("test")["change"]
    return int((change > 0).sum()), int((change < 0).sum()), _mean(change)


def doubt_row(group: str) -> str:
    """The table's row of photos of whose masks the flagship is equally sure."""
    starts = [*DOUBT.values(), 1.0]
    begin, end = dict(zip(DOUBT, pairwise(starts), strict=True))[group]
    cells = []
    for section in ("validation", "test"):
        photos = _change(section).sort_values("confidence")
        photos = photos.iloc[round(begin * len(photos)) : round(end * len(photos))]
        cells += [f"{photos['flagship'].mean():.4f}", _mean(photos["change"])]
    return f"| {group} | {' | '.join(cells)} |"


def _change(section: str) -> pd.DataFrame:
    """For each photo the flagship's Jaccard, its change by the prompt, and the flagship's confidence."""
    scores = _scores(SHIPPED, section)
    masks = scores[scores["kind"].isin(("none", "box_and_mask"))].pivot(
        index="id", columns="kind", values="jaccard"
    )
    doubt = pd.read_csv(RESULTS / "flagship_doubt.csv").set_index("id")["confidence"]
    return pd.DataFrame(
        {
            "flagship": masks["none"],
            "change": masks["box_and_mask"] - masks["none"],
            "confidence": doubt.loc[masks.index],
        }
    )


def _mean(values: pd.Series) -> str:
    """A mean with its standard error."""
    return f"{values.mean():+.4f} ({values.sem():.4f})"


def _tables(section: str) -> list[pd.DataFrame]:
    return [pd.read_csv(RESULTS / training / f"{section}_table.csv") for training in TRAININGS]


def _scores(training: str, section: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / training / f"{section}_scores.csv")


def _in_order(table: pd.DataFrame) -> list[tuple[Any, pd.Series]]:
    """The rows that the tables show, the flagship's first. One point is one click, and left out."""
    predicted = table["source"] != ORACLE
    shown = table[table["kind"] != "points"].assign(
        place=lambda rows: (
            rows["kind"].map({"none": 0, "box_and_mask": 1, "box": 2, "box_and_points": 3}).fillna(4)
            + 10 * (~predicted)
        )
    )
    return list(shown.sort_values("place", kind="stable").drop(columns="place").iterrows())


def _named(prompt: pd.Series) -> str:
    """A prompt as the tables call it."""
    kind, whose = prompt["kind"], "" if prompt["source"] == ORACLE else "the flagship's "
    if kind == "none":
        return "none: the flagship's own mask"
    if kind.startswith("clicks_"):
        count = int(kind.removeprefix("clicks_"))
        return f"{count} click{'s' if count > 1 else ''}"
    shifted = f", sides shifted by up to {prompt['jitter'] * 100:.0f} %" if prompt["jitter"] else ""
    return whose + _KINDS[kind] + shifted


if __name__ == "__main__":
    main()

"""The fixed random split of the official training ids, as it was made once.

    python scripts/make_split.py --dataset_dir /data/isic2018 --output isic2018_split.json

The ids are those of all sections of the prepared folder. The file made of ISIC 2018's 2,594 training images is
committed as ``dermaseg_monai/datasets/isic2018_split.json``, and every program reads that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import fire

from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets.isic2018 import NEAR_DUPLICATES, SECTIONS
from dermaseg_monai.datasets.splits import FRACTIONS, SEED, digest, shuffled, units_of
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_text


def main(dataset_dir: str, output: str) -> None:
    """Split the images of a prepared folder, and write the file."""
    items = (item for section in SECTIONS for item in load_datalist(dataset_dir, section))
    write_text(Path(output), split_text(random_split(item["id"] for item in items)))


def random_split(
    ids: Iterable[str],
    groups: Iterable[Sequence[str]] = NEAR_DUPLICATES,
    seed: int = SEED,
    fractions: Sequence[float] = FRACTIONS,
) -> dict[str, list[str]]:
    """Split ids at random into training, validation and test, keeping each group on one side.

    The shuffle orders ids by the SHA-256 of seed and id, which is the same on every machine and Python
    version and does not depend on the order in which the ids come.

    Args:
        ids: distinct image ids.
        groups: ids that must share a section; a group not wholly among ``ids`` counts with what is there,
            and no id may be in two of them.
        seed: another seed gives another split.
        fractions: shares of training, validation and test, adding up to 1.

    Returns:
        "training" in shuffled order, "validation" and "test" sorted; sizes are the rounded shares, or as
        near as the groups allow.

    Raises:
        InputError: an id comes twice or the fractions do not add up to 1.
    """
    ids = list(ids)
    if len(set(ids)) != len(ids):
        raise InputError("the ids to split hold the same id twice; give each id once.")
    if len(fractions) != len(SECTIONS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(
            f"the split fractions must be three shares that add up to 1, not {tuple(fractions)}."
        )
    units = sorted(units_of(ids, groups), key=lambda unit: digest(f"{seed}:{unit[0]}"))
    room = {"test": round(fractions[2] * len(ids)), "validation": round(fractions[1] * len(ids))}
    split: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for unit in units:
        # a group that no longer fits is passed on, and later single ids fill the gap
        section = next((name for name, left in room.items() if len(unit) <= left), "training")
        split[section].extend(unit)
        if section in room:
            room[section] -= len(unit)
    return {
        "training": shuffled(split["training"], seed),
        "validation": sorted(split["validation"]),
        "test": sorted(split["test"]),
    }


def split_text(split: Mapping[str, Sequence[str]]) -> str:
    """The text of the committed split file for ``split``."""
    content = {
        "name": "ISIC 2018 Task 1 and 2 training images, fixed random split",
        "seed": SEED,
        "fractions": FRACTIONS,
        **{section: list(split[section]) for section in SECTIONS},
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    fire.Fire(main)

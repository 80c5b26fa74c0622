"""The fixed random split of the official training ids, and where every other id goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from dermaseg_monai.datasets.groups import joined
from dermaseg_monai.datasets.isic2018 import NEAR_DUPLICATES, SECTIONS
from dermaseg_monai.utils.errors import InputError

SEED = 2018
FRACTIONS = (0.70, 0.15, 0.15)
SPLIT_FILE = "isic2018_split.json"


@cache
def official_split() -> Mapping[str, tuple[str, ...]]:
    """The committed 70/15/15 split of the 2,594 official training ids.

    Returns:
        "training" (1,816 ids in one fixed shuffled order, so that a fraction of the data is a prefix),
        "validation" and "test" (389 ids each, sorted).
    """
    text = files("dermaseg_monai.datasets").joinpath(SPLIT_FILE).read_text(encoding="utf-8")
    content = json.loads(text)
    return {section: tuple(content[section]) for section in SECTIONS}


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
    units = sorted(_units(ids, groups), key=lambda unit: _digest(f"{seed}:{unit[0]}"))
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


def assign(ids: Iterable[str], groups: Iterable[Sequence[str]] = NEAR_DUPLICATES) -> dict[str, list[str]]:
    """Place ids in sections: official ids by the committed split, all others by a stable hash.

    An official id never leaves its section, unless it is in a group with another one. Any other id (a phantom, a
    clinic's own photo) goes where the hash of its name, or of its group's first name, sends it (70/15/15), whatever
    other ids there are; a group with official ids goes where the first of them is. Only where a section would be
    empty, the other ids nearest to it by hash are moved there, as long as at least three groups exist.

    Args:
        ids: distinct image ids.
        groups: ids that must share a section; groups that have an id in common are one.

    Returns:
        "training" in fixed shuffled order (official ids first), "validation" and "test" sorted.
    """
    official = official_split()
    rank = {name: position for position, name in enumerate(official["training"])}
    home = {name: section for section, names in official.items() for name in names}
    split: dict[str, list[str]] = {section: [] for section in SECTIONS}
    units: dict[str, list[tuple[str, ...]]] = {section: [] for section in SECTIONS}
    for unit in sorted(_units(list(ids), joined(groups)), key=_place):
        section = next((home[name] for name in unit if name in home), None)
        if section is None:
            units[_section(_place(unit))].append(unit)
        else:
            split[section].extend(unit)
    _fill_empty(units, {section for section in SECTIONS if split[section]})
    for section in SECTIONS:
        split[section].extend(name for unit in units[section] for name in unit)
    # sorting is stable: the official ids by their rank, the others after them in the order of their hashes
    return {
        "training": sorted(shuffled(split["training"]), key=lambda name: rank.get(name, len(rank))),
        "validation": sorted(split["validation"]),
        "test": sorted(split["test"]),
    }


def make_folds(
    ids: Sequence[str], count: int, groups: Iterable[Sequence[str]], areas: Mapping[str, float]
) -> list[list[str]]:
    """Divide ids into folds of nearly equal size and like lesion sizes, keeping each group in one fold.

    Groups are taken in the order of their mean lesion size, ``count`` at a time, and dealt out, the larger groups to
    the folds that hold fewer images, and by a stable hash among equals.

    Args:
        ids: distinct image ids.
        count: number of folds, at least 2.
        groups: ids that must share a fold; near-duplicates always do.
        areas: share of the photo that the lesion covers, 0 to 1, for every id.

    Returns:
        The ids of each fold, sorted.

    Raises:
        InputError: there are fewer groups than folds.
    """
    units = _units(ids, joined([*NEAR_DUPLICATES, *groups]))
    if len(units) < count:
        raise InputError(
            f"{len(ids)} training images in {len(units)} groups cannot be divided into {count} folds; ask for fewer."
        )
    units.sort(key=lambda unit: (sum(areas[name] for name in unit) / len(unit), unit))
    folds: list[list[str]] = [[] for _ in range(count)]
    for begin in range(0, len(units), count):
        block = sorted(units[begin : begin + count], key=lambda unit: (-len(unit), _digest(unit[0])))
        free = sorted(range(count), key=lambda index: (len(folds[index]), _digest(f"{begin}:{index}")))
        for index, unit in zip(free, block, strict=False):
            folds[index].extend(unit)
    return [sorted(fold) for fold in folds]


def shuffled(ids: Iterable[str], seed: int = SEED) -> list[str]:
    """The ids in an order without pattern that depends on nothing but each id and the seed."""
    return sorted(ids, key=lambda name: _digest(f"{seed}:{name}"))


def split_text(split: Mapping[str, Sequence[str]]) -> str:
    """The text of the committed split file for ``split``."""
    content = {
        "name": "ISIC 2018 Task 1 and 2 training images, fixed random split",
        "seed": SEED,
        "fractions": FRACTIONS,
        **{section: list(split[section]) for section in SECTIONS},
    }
    return json.dumps(content, indent=1) + "\n"


def _units(ids: Sequence[str], groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    present = set(ids)
    units = [tuple(sorted(present.intersection(group))) for group in groups]
    grouped = {name for unit in units for name in unit}
    return [unit for unit in units if unit] + [(name,) for name in ids if name not in grouped]


def _place(unit: Sequence[str]) -> float:
    return int(_digest(unit[0])[:13], 16) / 16**13


def _section(place: float) -> str:
    if place < FRACTIONS[0]:
        return "training"
    return "validation" if place < FRACTIONS[0] + FRACTIONS[1] else "test"


def _fill_empty(units: dict[str, list[tuple[str, ...]]], taken: set[str]) -> None:
    # units of a section are in order of their place on the line training < validation < test
    for section in ("test", "validation", "training"):
        if section in taken or units[section]:
            continue
        donors = [name for name in SECTIONS if len(units[name]) > (0 if name in taken else 1)]
        if not donors:
            continue
        donor = max(donors, key=lambda name: len(units[name]))
        last = SECTIONS.index(donor) < SECTIONS.index(section)
        units[section].append(units[donor].pop(-1 if last else 0))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

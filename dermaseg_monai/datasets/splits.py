"""Splits: the fixed one of the official training ids, sections of all other ids, and folds."""

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
    rank = {name: index for index, name in enumerate(official["training"])}
    section_of = {name: section for section, names in official.items() for name in names}
    split: dict[str, list[str]] = {section: [] for section in SECTIONS}
    units: dict[str, list[tuple[str, ...]]] = {section: [] for section in SECTIONS}
    for unit in sorted(units_of(list(ids), joined(groups)), key=_position):
        section = next((section_of[name] for name in unit if name in section_of), None)
        if section is None:
            units[_section(_position(unit))].append(unit)
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
    units = units_of(ids, joined([*NEAR_DUPLICATES, *groups]))
    if len(units) < count:
        raise InputError(
            f"{len(ids)} training images in {len(units)} groups cannot be divided into {count} folds; ask for fewer."
        )
    units.sort(key=lambda unit: (sum(areas[name] for name in unit) / len(unit), unit))
    folds: list[list[str]] = [[] for _ in range(count)]
    for begin in range(0, len(units), count):
        block = sorted(units[begin : begin + count], key=lambda unit: (-len(unit), digest(unit[0])))
        free = sorted(range(count), key=lambda index: (len(folds[index]), digest(f"{begin}:{index}")))
        for index, unit in zip(free, block, strict=False):
            folds[index].extend(unit)
    return [sorted(fold) for fold in folds]


def shuffled(ids: Iterable[str], seed: int = SEED) -> list[str]:
    """The ids in an order without pattern that depends on nothing but each id and the seed."""
    return sorted(ids, key=lambda name: digest(f"{seed}:{name}"))


def units_of(ids: Sequence[str], groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The ids in what must stay together: each group as far as its ids are there, and each other id alone."""
    present = set(ids)
    units = [tuple(sorted(present.intersection(group))) for group in groups]
    grouped = {name for unit in units for name in unit}
    return [unit for unit in units if unit] + [(name,) for name in ids if name not in grouped]


def _position(unit: Sequence[str]) -> float:
    return int(digest(unit[0])[:13], 16) / 16**13


def _section(position: float) -> str:
    if position < FRACTIONS[0]:
        return "training"
    return "validation" if position < FRACTIONS[0] + FRACTIONS[1] else "test"


def _fill_empty(units: dict[str, list[tuple[str, ...]]], taken: set[str]) -> None:
    # units of a section are in order of their position on the line training < validation < test
    for section in ("test", "validation", "training"):
        if section in taken or units[section]:
            continue
        donors = [name for name in SECTIONS if len(units[name]) > (0 if name in taken else 1)]
        if not donors:
            continue
        donor = max(donors, key=lambda name: len(units[name]))
        last = SECTIONS.index(donor) < SECTIONS.index(section)
        units[section].append(units[donor].pop(-1 if last else 0))


def digest(text: str) -> str:
    """The SHA-256 of a text in hexadecimal digits, the same on every machine and Python version."""
    return hashlib.sha256(text.encode()).hexdigest()

"""Groups of photos that must stay together, such as those of one patient or one lesion."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from dermaseg_monai.image_files import is_photo_name
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import as_text

_IDS = ("id", "image_id", "isic_id", "image", "image_name", "photo", "file", "filename", "name")
_GROUPS = ("patient", "patient_id", "group", "group_id", "lesion", "lesion_id")
"""Names of columns, the coarsest grouping first: photos of one patient may show several lesions."""


def read_groups(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read which group each photo belongs to.

    Args:
        path: CSV file (separated by commas, semicolons or tabs) with a header: a column ``id`` (or ``image_id``,
            ``isic_id``, ``image`` ...), and one called ``patient``, ``patient_id``, ``group``, ``lesion`` or
            ``lesion_id``, the first of them that is there. Endings of photos are cut off ids.

    Returns:
        The group of each id; a photo whose group is empty has none.

    Raises:
        InputError: the file cannot be read, lacks a column, or has one id in two groups.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"the table of groups {path} cannot be read ({error.strerror}).") from None
    first = text.split("\n", 1)[0]
    rows = csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count))
    header = [name.strip().lower() for name in next(rows, [])]
    columns = [next((name for name in known if name in header), None) for known in (_IDS, _GROUPS)]
    if columns[0] is None or columns[1] is None:
        raise InputError(
            f"{path} has the columns {', '.join(header) or 'none'}; it needs one called id or image_id, and one called "
            "patient_id, lesion_id or group."
        )
    places = [header.index(str(name)) for name in columns]
    groups: dict[str, str] = {}
    for row in rows:
        if len(row) <= max(places):
            continue
        name, group = (row[place].strip() for place in places)
        name = as_text(PurePosixPath(name).stem if is_photo_name(name) else name)
        if not name or not group:
            continue
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{path} has {name} in the groups {groups[name]} and {group}; a photo is in one."
            )
    return groups


def members(groups: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The ids of each group, sorted."""
    found: dict[str, list[str]] = {}
    for name, group in groups.items():
        found.setdefault(group, []).append(name)
    return [tuple(sorted(names)) for names in found.values()]


def joined(groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Join groups that share an id, directly or through others, so that each id is in one group."""
    sets: list[set[str]] = []
    place: dict[str, int] = {}
    for group in groups:
        touched = sorted({place[name] for name in group if name in place})
        together = set(group).union(*(sets[index] for index in touched))
        for index in touched:
            sets[index] = set()
        sets.append(together)
        place.update(dict.fromkeys(together, len(sets) - 1))
    return [tuple(sorted(group)) for group in sets if group]

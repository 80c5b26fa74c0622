"""Groups of photos that must stay together, such as those of one patient or one lesion."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath

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
    header, id_column, rows = read_photo_table(path, "of groups")
    group_column = _column(header, _GROUPS)
    if group_column is None:
        raise InputError(
            f"{path} has the columns {', '.join(header)}; it needs one called id or image_id, and one called "
            "patient_id, lesion_id or group."
        )
    columns = header.index(id_column), header.index(group_column)
    groups: dict[str, str] = {}
    for row in rows:
        name, group = (row[column] for column in columns)
        if not name or not group:
            continue
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{path} has {name} in the groups {groups[name]} and {group}; a photo is in one."
            )
    return groups


def read_photo_table(path: str | os.PathLike[str], what: str) -> tuple[list[str], str, list[list[str]]]:
    """Read a table of photos.

    Args:
        path: CSV file (separated by commas, semicolons or tabs) with a header: a column ``id`` (or ``image_id``,
            ``isic_id``, ``image`` ...), and any others.
        what: it is a table, such as "of groups", for messages.

    Returns:
        The names of the columns in small letters, the name of the column of ids, and the rows, without spaces around
        the values; endings of photos are cut off ids, and rows that are too short are left out.

    Raises:
        InputError: the file cannot be read, or has no column of ids.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"the table {what} {path} cannot be read ({error.strerror}).") from None
    # spreadsheets write "Unicode text" in UTF-16
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace" if wide else "surrogateescape")
    first = text.split("\n", 1)[0]
    lines = csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count))
    header = [name.strip().lower() for name in next(lines, [])]
    column = _column(header, _IDS)
    if column is None:
        raise InputError(
            f"{path} has the columns {', '.join(header) or 'none'}; it needs one called id or image_id."
        )
    index = header.index(column)
    rows = [[value.strip() for value in line] for line in lines if len(line) >= len(header)]
    for row in rows:
        row[index] = as_text(PureWindowsPath(row[index]).stem if is_photo_name(row[index]) else row[index])
    return header, column, [row[: len(header)] for row in rows]


def _column(header: Sequence[str], names: Iterable[str]) -> str | None:
    """The first of ``names`` that a column has, written with underscores or spaces."""
    columns = {column.replace(" ", "_"): column for column in reversed(header)}
    return next((columns[name] for name in names if name in columns), None)


def members(groups: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The ids of each group, sorted."""
    by_group: dict[str, list[str]] = {}
    for name, group in groups.items():
        by_group.setdefault(group, []).append(name)
    return [tuple(sorted(names)) for names in by_group.values()]


def joined(groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Join groups that share an id, directly or through others, so that each id is in one group."""
    sets: list[set[str]] = []
    set_of: dict[str, int] = {}
    for group in groups:
        touched = sorted({set_of[name] for name in group if name in set_of})
        together = set(group).union(*(sets[index] for index in touched))
        for index in touched:
            sets[index] = set()
        sets.append(together)
        set_of.update(dict.fromkeys(together, len(sets) - 1))
    return [tuple(sorted(group)) for group in sets if group]

"""Decisions on given masks, as an audit saves them: accepted, doubted, or corrected."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from dermaseg_monai.datasets.isic2018 import LESION_SUFFIX
from dermaseg_monai.datasets.sources import SourceFile
from dermaseg_monai.utils.errors import InputError

DECISIONS = ("accept", "doubt", "correct")


@dataclass(frozen=True)
class Decisions:
    """What is to be done with some masks.

    Attributes:
        doubted: ids to leave out.
        corrected: the lesion mask that replaces the given one, by id.
    """

    doubted: frozenset[str]
    corrected: dict[str, SourceFile]


def read_decisions(path: str | os.PathLike[str]) -> Decisions:
    """Read what an audit decided.

    Args:
        path: CSV file with the columns ``id`` and ``decision``: "accept" (keep the mask), "doubt" (leave the photo
            out) or "correct" (take ``<id>_segmentation.png``, which lies beside the file).

    Returns:
        The decisions; ids that are not in the file keep their masks.

    Raises:
        InputError: the file cannot be read, a decision is none of these or two of one id differ, or a corrected mask
            is missing.
    """
    path = Path(path).expanduser()
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the decisions {path} cannot be read ({error}).") from None
    decided: dict[str, str] = {}
    for row in rows:
        name, decision = row.get("id"), row.get("decision")
        if not name or decision not in DECISIONS:
            raise InputError(
                f"{path} has the row {dict(row)}; it needs an id and a decision, one of {', '.join(DECISIONS)}."
            )
        if decided.setdefault(name, decision) != decision:
            raise InputError(f"{path} says both {decided[name]} and {decision} of {name}; keep one.")
    corrected = {}
    for name in (name for name, decision in decided.items() if decision == "correct"):
        file = path.parent / f"{name}{LESION_SUFFIX}"
        if not file.is_file():
            raise InputError(
                f"{path} wants the mask of {name} corrected, but there is no {file}; put it there, or decide doubt."
            )
        status = file.stat()
        corrected[name] = SourceFile(file.name, file, (status.st_size, status.st_mtime_ns))
    return Decisions(frozenset(name for name, decision in decided.items() if decision == "doubt"), corrected)

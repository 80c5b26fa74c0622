"""Pairing of the photos of a source with their masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dermaseg_monai.datasets import isic2018
from dermaseg_monai.datasets.checks import Pair
from dermaseg_monai.datasets.decisions import Decisions
from dermaseg_monai.datasets.layouts import ISIC_2018, Layout, SortedFiles
from dermaseg_monai.datasets.sources import SourceFile
from dermaseg_monai.utils.errors import InputError

# part of every fingerprint: raise it when the same source would be stored differently
_FORMAT = 2


@dataclass(frozen=True)
class Problem:
    """Why one image was left out.

    Attributes:
        id: the image.
        file: the file at fault, inside the source folder.
        what: what is wrong with it.
    """

    id: str
    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.id}: {self.file} {self.what}"


def check_files(
    files: SortedFiles, source: Path, task: str, layout: Layout, sections: tuple[str, ...]
) -> None:
    """Refuse a source that lacks photos or masks of a task.

    Args:
        files: of the source.
        source: its folder, for messages.
        task: "lesion", "attribute" or "both".
        layout: of the data set.
        sections: that are prepared.

    Raises:
        InputError: files of a kind are missing, which are named.
    """
    lacking = []
    for section in sections:
        for kind in isic2018.kinds(task):
            if kind == "attribute" and (section, kind) not in layout.folders.values():
                raise InputError(
                    f"only ISIC 2018 has attribute masks, not {layout.title or 'your own folders'}."
                )
            roles = isic2018.ATTRIBUTES if kind == "attribute" else (kind,)
            if not any(files.get((section, role)) for role in roles):
                lacking.append(layout.folder_of(section, kind))
    if lacking:
        raise InputError(
            f"the source folder {source} holds no files of {', '.join(lacking)}; put the archive (.zip) or "
            "the unpacked folder of that name there"
            + (", for example with `dermaseg download isic2018`." if layout is ISIC_2018 else ".")
        )


def apply_decisions(
    files: SortedFiles, decisions: Decisions, sections: tuple[str, ...]
) -> tuple[set[str], set[str]]:
    """Leave out and replace masks as an audit decided.

    Args:
        files: of the source; changed in place.
        decisions: of the audit.
        sections: that are prepared.

    Returns:
        Ids that were left out, and those whose mask was replaced.
    """
    doubted: set[str] = set()
    corrected: set[str] = set()
    for (section, role), table in files.items():
        if section not in sections:
            continue
        doubted |= decisions.doubted.intersection(table)
        for name in decisions.doubted.intersection(table):
            del table[name]
        if role == "lesion":
            replaced = decisions.corrected.keys() & table.keys()
            table.update({name: decisions.corrected[name] for name in replaced})
            corrected |= replaced
    return doubted, corrected


@dataclass(frozen=True)
class Pairing:
    """The photos of a source with their masks.

    Attributes:
        pairs: photos that have all masks of the task.
        incomplete: the others, and why.
        section_of: the section of every id.
    """

    pairs: list[Pair]
    incomplete: list[Problem]
    section_of: Mapping[str, str]


def pair_files(
    files: SortedFiles,
    task: str,
    layout: Layout,
    sections: tuple[str, ...],
    size: int | None,
    soft_masks: bool,
) -> Pairing:
    """Bring photos and masks of one id together.

    Args:
        files: of the source.
        task: "lesion", "attribute" or "both".
        layout: of the data set.
        sections: that are prepared.
        size: longest side of what is to be stored, in pixels; None for the files' own.
        soft_masks: whether masks of grey levels are taken.

    Raises:
        InputError: an id is in two sections.
    """
    roles = ["image"]
    roles += ["lesion"] if task in ("lesion", "both") else []
    roles += list(isic2018.ATTRIBUTES) if task in ("attribute", "both") else []
    pairs: list[Pair] = []
    problems: list[Problem] = []
    section_of: dict[str, str] = {}
    for section in sections:
        tables = {role: files.get((section, role), {}) for role in roles}
        for name in sorted(set().union(*tables.values())):
            paired = {role: table[name] for role, table in tables.items() if name in table}
            if name in section_of:
                other = layout.folder_of(section_of[name], "image")
                raise InputError(
                    f"{name} lies both in {other} and among the {section} files; keep one of them."
                )
            section_of[name] = section
            lacking = [role for role in roles if role not in paired]
            if not lacking:
                pairs.append(Pair(name, paired, _fingerprint(paired, size, soft_masks)))
            elif "image" in lacking:
                problems.append(Problem(name, next(iter(paired.values())).name, "has no photo"))
            else:
                masks = ", ".join(role.replace("_", " ") for role in lacking)
                problems.append(Problem(name, paired["image"].name, f"has no mask for {masks}"))
    return Pairing(pairs, problems, section_of)


def _fingerprint(files: Mapping[str, SourceFile], size: int | None, soft_masks: bool) -> str:
    stamps = [[role, file.file_name, *file.fingerprint] for role, file in files.items()]
    facts = [_FORMAT, size, soft_masks, stamps]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

"""Preparation of a data set: from its archives or folders to a checked folder with a ``datalist.json``."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermaseg_monai.datasets import isic2018
from dermaseg_monai.datasets.checks import FOLDERS
from dermaseg_monai.datasets.decisions import read_decisions
from dermaseg_monai.datasets.groups import members, read_groups
from dermaseg_monai.datasets.isic2018 import DATALIST_NAME
from dermaseg_monai.datasets.journal import JOURNAL_NAME, Record, check_own, with_checksum, write_changed
from dermaseg_monai.datasets.layouts import ISIC_2018, Layout, collect, metadata_of, recognise
from dermaseg_monai.datasets.pairing import Problem, apply_decisions, check_files, pair_files
from dermaseg_monai.datasets.sources import SourceFile, list_files
from dermaseg_monai.datasets.splits import assign, make_folds, official_split, shuffled
from dermaseg_monai.datasets.storing import store_pairs, strict_error
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.words import counted, number_of

SPLITS = ("random", "official", "external")
MIN_SIZE = 16


@dataclass(frozen=True)
class PrepareSummary:
    """What ``prepare`` did.

    Attributes:
        datalist: the written ``datalist.json``.
        counts: images in "training", "validation" and "test".
        left_out: the images that are not in the datalist, and why.
        reused: images that an earlier run had stored already.
        notes: what else to know: files passed over, how masks were read, empty and full masks, known photos.
    """

    datalist: Path
    counts: Mapping[str, int]
    left_out: tuple[Problem, ...]
    reused: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"left out {problem}" for problem in self.left_out]
        lines += self.notes
        sections = ", ".join(f"{section} {count}" for section, count in self.counts.items())
        lines.append(
            f"{self.datalist}: {number_of(sum(self.counts.values()), 'image')} ({sections}), "
            f"{self.reused} of them from before, {len(self.left_out)} left out"
        )
        return "\n".join(lines)


def prepare(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    task: str = "lesion",
    split: str = "random",
    size: int | None = None,
    strict: bool = False,
    workers: int | None = None,
    layout: str | None = None,
    groups: str | os.PathLike[str] | None = None,
    folds: int | None = None,
    soft_masks: bool = False,
    audit: str | os.PathLike[str] | None = None,
) -> PrepareSummary:
    """Check the photos and masks of a data set and lay them out for training.

    Every photo is paired with its masks, all are decoded to the last pixel by the reader of training and inference,
    and their sizes are compared. Good pairs are stored in ``images/``, ``masks/`` and ``attributes/`` of ``output``:
    JPEG and PNG photos and masks that any reader shows alike byte for byte, other photos (turned by a tag, of more
    than 8 bits, of other formats) as PNG of the very pixels that inference shows, other masks as PNG of 0 and 255. The
    scale of a DICOM photo, which a PNG does not hold, stands in the datalist.
    ``datalist.json`` is written last. Another run on the same source decodes nothing and changes nothing; a run after
    an interrupted one goes on where that one stopped. What a person changed in ``output`` is never replaced.

    Args:
        source: folder with a data set's archives or unpacked folders, at any depth.
        output: folder to write, apart from ``source``; one that an earlier run made, or without such folders.
        task: "lesion" (one mask), "attribute" (ISIC 2018's Task 2) or "both".
        split: "random" (70/15/15; ISIC 2018's training ids by their fixed split), "official" (the data set's own
            parts), or "external" (all images into the test section, to score a trained bundle on them).
        size: store reduced copies whose long side has this many pixels (photos as JPEG of quality 95, masks
            as PNG of 0 and 255); smaller images stay as they are. None keeps the full size.
        strict: end with an error at the first bad pair instead of leaving it out.
        workers: threads; None takes one per processor, at most eight.
        layout: name of the data set's layout; None recognises it.
        groups: CSV file that names the patient or lesion of each photo, see
            :func:`~dermaseg_monai.datasets.groups.read_groups`; all photos of one group share a section. HAM10000's
            photos are grouped by lesion without it, where its metadata lies in the source.
        folds: also divide the training section into so many folds, for cross-validation.
        soft_masks: take masks of grey levels, of which 128 of 255 and more is lesion.
        audit: decisions on lesion masks, see :func:`~dermaseg_monai.datasets.decisions.read_decisions`: photos whose
            mask is doubted are left out, corrected masks take the place of those given.

    Returns:
        Where the datalist lies, how many images each section has, and what was left out and why.

    Raises:
        InputError: an argument is wrong, the source lacks what the task needs, a person changed what lies in
            ``output``, or, with ``strict``, for the first bad pair.
    """
    source, output = Path(source).expanduser(), Path(output).expanduser()
    _check_arguments(task, split, size, workers, folds)
    _check_folders(source, output)
    check_own(output / DATALIST_NAME)
    decisions = None if audit is None else read_decisions(audit)
    with ExitStack() as stack:
        all_files = list_files(source, stack)
        known = recognise(all_files, source, layout)
        files, passed = collect(known, all_files)
        sections = _sections(known, split)
        check_files(files, source, task, known, sections)
        audited = ([], []) if decisions is None else apply_decisions(files, decisions, sections)
        pairing = pair_files(files, task, known, sections, size, soft_masks)
        if strict and pairing.incomplete:
            raise strict_error(pairing.incomplete[0])
        if not pairing.pairs:
            raise InputError(f"no photo in {source} has all its masks; the first: {pairing.incomplete[0]}.")
        group_of = _groups(groups, known, all_files, output, {pair.id for pair in pairing.pairs})
        records, reused = store_pairs(pairing.pairs, output, size, soft_masks, strict, workers)
    bad = [Problem(r.id, *r.problem) for r in records.values() if r.problem]
    left_out = sorted([*pairing.incomplete, *bad], key=lambda problem: problem.id)
    good = {name: record for name, record in records.items() if not record.problem}
    if not good:
        raise InputError(
            f"none of the {len(left_out)} images in {source} can be used; the first: {left_out[0]}."
        )
    together = members(group_of)
    chosen = _chosen(good, split, pairing.section_of, together)
    # a clinic's own photos may lie in the official layout
    official = known is not ISIC_2018 or split == "official" or _official_ids().issuperset(good)
    content: dict[str, Any] = {
        "name": (known.title if official else "") or source.resolve().name,
        "task": task,
        "split": split,
        "size": size,
        **({} if task == "lesion" else {"attributes": list(isic2018.ATTRIBUTES)}),
        **{section: [_item(good[name], task) for name in names] for section, names in chosen.items()},
    }
    if folds is not None:
        areas = {name: good[name].area or 0.0 for name in chosen["training"]}
        content["folds"] = make_folds(chosen["training"], folds, together, areas)
    datalist = output / DATALIST_NAME
    write_changed(datalist, json.dumps(with_checksum(content), indent=1) + "\n")
    counts = {section: len(names) for section, names in chosen.items()}
    notes = [
        f"{counted(sorted(names), 'image')} {what} by the audit"
        for names, what in zip(audited, ("left out", "with a mask corrected"), strict=True)
        if names
    ]
    notes += _notes(good, passed, split, counts, known, group_of)
    return PrepareSummary(datalist, counts, tuple(left_out), reused, tuple(notes))


def _check_arguments(task: str, split: str, size: int | None, workers: int | None, folds: int | None) -> None:
    if task not in isic2018.TASKS:
        raise InputError(f"the task must be one of {', '.join(isic2018.TASKS)}, not {task!r}.")
    if split not in SPLITS:
        raise InputError(f"the split must be one of {', '.join(SPLITS)}, not {split!r}.")
    if size is not None and (type(size) is not int or size < MIN_SIZE):
        raise InputError(f"the size must be a whole number of at least {MIN_SIZE} pixels, not {size!r}.")
    for name, number, least in (("workers", workers, 1), ("folds", folds, 2)):
        if number is not None and (type(number) is not int or number < least):
            raise InputError(
                f"the number of {name} must be a whole number of at least {least}, not {number!r}."
            )
    if folds is not None and split == "external":
        raise InputError(
            "an external test set has no training images to divide into folds; leave out --folds."
        )


def _check_folders(source: Path, output: Path) -> None:
    if not source.is_dir():
        raise InputError(
            f"the source folder {source} does not exist; give the folder with the data set's archives."
        )
    inner, outer = output.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise InputError(
            f"the output folder {output} and the source folder {source} must lie apart; choose another."
        )
    if output.exists() and not output.is_dir():
        raise InputError(f"the output {output} is a file; give a folder.")
    if not (output / JOURNAL_NAME).exists():
        for folder in dict.fromkeys(FOLDERS.values()):
            if (output / folder).exists() and any((output / folder).iterdir()):
                raise InputError(
                    f"the folder {output / folder} holds files that no earlier run made; choose another "
                    "output."
                )


def _sections(layout: Layout, split: str) -> tuple[str, ...]:
    if split == "official" and not layout.has_split:
        raise InputError(
            f"{layout.title or 'a folder of your own'} has no official split; choose --split random or external."
        )
    return ("training",) if split == "random" else layout.sections


def _groups(
    table: str | os.PathLike[str] | None,
    layout: Layout,
    files: list[SourceFile],
    output: Path,
    ids: set[str],
) -> dict[str, str]:
    if table is not None:
        group_of = read_groups(table)
        if group_of and ids.isdisjoint(group_of):
            raise InputError(
                f"{table} names none of the {len(ids)} images: it has ids such as {min(group_of)!r}, and the images "
                f"are called {min(ids)!r}; write their names into it."
            )
        return group_of
    metadata = metadata_of(layout, files)
    if metadata is None:
        return {}
    output.mkdir(parents=True, exist_ok=True)
    with metadata.on_disk(output) as path:
        return read_groups(path)


def _chosen(
    good: Mapping[str, Record], split: str, section_of: Mapping[str, str], together: list[tuple[str, ...]]
) -> dict[str, list[str]]:
    if split == "random":
        return assign(good, [*isic2018.NEAR_DUPLICATES, *together])
    if split == "external":
        return {"training": [], "validation": [], "test": sorted(good)}
    sections = {section: sorted(n for n in good if section_of[n] == section) for section in isic2018.SECTIONS}
    return {**sections, "training": shuffled(sections["training"])}


def _notes(
    good: Mapping[str, Record],
    passed: list[str],
    split: str,
    counts: Mapping[str, int],
    layout: Layout,
    group_of: Mapping[str, str],
) -> list[str]:
    notes = []
    if passed:
        notes.append(f"passed over {counted(passed, 'file')}: neither photo nor mask")
    read: dict[str, list[str]] = {}
    for record in good.values():
        for file, note in record.notes:
            read.setdefault(note, []).append(file)
    notes += [f"{counted(files, 'mask')}: {note}" for note, files in read.items()]
    for what, area in (("empty", 0.0), ("all lesion", 1.0)):
        names = [name for name, record in good.items() if record.area == area]
        if names:
            notes.append(f"{counted(names, 'mask')}: {what}")
    if group_of:
        groups = Counter(group_of[name] for name in good if name in group_of)
        alone = len(good) - sum(groups.values())
        notes.append(
            f"{len(groups)} groups, the largest of {max(groups.values(), default=0)} images; {alone} images are in none"
        )
    trained_on = len(_official_ids().intersection(good))
    if trained_on and layout is not ISIC_2018:
        notes.append(
            f"{trained_on} of the images are in ISIC 2018's training set, on which the bundles here were trained: "
            "for those bundles they are no external test"
        )
    empty = [section for section, count in counts.items() if not count]
    if empty and split != "external":
        notes.append(
            f"no image falls into {' and '.join(empty)}"
            + (": there are too few, or official ids keep their fixed sections" if split == "random" else "")
        )
    return notes


def _official_ids() -> set[str]:
    return {name for names in official_split().values() for name in names}


def _item(record: Record, task: str) -> dict[str, Any]:
    paths = {role: file.name for role, file in record.files.items()}
    attributes = [paths[name] for name in isic2018.ATTRIBUTES if name in paths]
    item: dict[str, Any] = {"id": record.id, "image": paths["image"]}
    if record.pixels_per_mm is not None:
        item["pixels_per_mm"] = round(record.pixels_per_mm, 6)
    if task == "attribute":
        return {**item, "label": attributes}
    item["label"] = paths["lesion"]
    return {**item, "attributes": attributes} if task == "both" else item

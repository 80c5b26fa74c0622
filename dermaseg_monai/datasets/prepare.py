"""From the archives or folders of a data set to a checked folder with a ``datalist.json``."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dermaseg_monai.datasets import isic2018
from dermaseg_monai.datasets.checks import FOLDERS, Pair, remove_temporary, store_pair
from dermaseg_monai.datasets.decisions import Decisions, read_decisions
from dermaseg_monai.datasets.groups import members, read_groups
from dermaseg_monai.datasets.isic2018 import DATALIST_NAME
from dermaseg_monai.datasets.journal import (
    JOURNAL_NAME,
    FileStamp,
    Record,
    check_own,
    check_unchanged,
    line_of,
    read_journal,
    with_checksum,
    write_changed,
    write_journal,
)
from dermaseg_monai.datasets.layouts import ISIC_2018, Found, Layout, collect, metadata_of, recognise
from dermaseg_monai.datasets.sources import SourceFile, list_files
from dermaseg_monai.datasets.splits import assign, make_folds, official_split, shuffled
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.threads import bounded_map

SPLITS = ("random", "official", "external")
MIN_SIZE = 16

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
            f"{self.datalist}: {sum(self.counts.values())} images ({sections}), "
            f"{self.reused} of them from before, {len(self.left_out)} left out"
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class _Options:
    task: str
    split: str
    size: int | None
    soft_masks: bool
    strict: bool
    workers: int | None
    folds: int | None


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
    than 8 bits, of other formats) as PNG of the very pixels that inference shows, other masks as PNG of 0 and 255.
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
    options = _Options(task, split, size, soft_masks, strict, workers, folds)
    _check_arguments(source, output, options)
    check_own(output / DATALIST_NAME)
    decisions = None if audit is None else read_decisions(audit)
    with ExitStack() as stack:
        files = list_files(source, stack)
        form = recognise(files, source, layout)
        found, passed = collect(form, files)
        sections = _sections(form, split)
        _check_found(found, source, task, form, sections)
        audited = [] if decisions is None else _decide(found, decisions, sections)
        pairs, missing, homes = _pair(found, options, form, sections)
        if strict and missing:
            raise _strict_error(missing[0])
        if not pairs:
            raise InputError(f"no photo in {source} has all its masks; the first: {missing[0]}.")
        group_of = _groups(groups, form, files, output)
        records, reused = _store_all(pairs, output, options)
    bad = [Problem(r.id, *r.problem) for r in records.values() if r.problem]
    left_out = sorted([*missing, *bad], key=lambda problem: problem.id)
    good = {name: record for name, record in records.items() if not record.problem}
    if not good:
        raise InputError(
            f"none of the {len(left_out)} images in {source} can be used; the first: {left_out[0]}."
        )
    together = members(group_of)
    chosen = _chosen(good, split, homes, together)
    # a clinic's own photos may lie in the official layout
    official = form is not ISIC_2018 or split == "official" or _official_ids().issuperset(good)
    content: dict[str, Any] = {
        "name": (form.title if official else "") or source.resolve().name,
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
    notes = [*audited, *_notes(good, passed, split, counts, form, group_of)]
    return PrepareSummary(datalist, counts, tuple(left_out), reused, tuple(notes))


def _check_arguments(source: Path, output: Path, options: _Options) -> None:
    if options.task not in isic2018.TASKS:
        raise InputError(f"the task must be one of {', '.join(isic2018.TASKS)}, not {options.task!r}.")
    if options.split not in SPLITS:
        raise InputError(f"the split must be one of {', '.join(SPLITS)}, not {options.split!r}.")
    if options.size is not None and (type(options.size) is not int or options.size < MIN_SIZE):
        raise InputError(
            f"the size must be a whole number of at least {MIN_SIZE} pixels, not {options.size!r}."
        )
    for name, number, least in (("workers", options.workers, 1), ("folds", options.folds, 2)):
        if number is not None and (type(number) is not int or number < least):
            raise InputError(
                f"the number of {name} must be a whole number of at least {least}, not {number!r}."
            )
    if options.folds is not None and options.split == "external":
        raise InputError(
            "an external test set has no training images to divide into folds; leave out --folds."
        )
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


def _sections(form: Layout, split: str) -> tuple[str, ...]:
    if split == "official" and not form.has_split:
        raise InputError(
            f"{form.title or 'a folder of your own'} has no official split; choose --split random or external."
        )
    return ("training",) if split == "random" else form.sections


def _check_found(found: Found, source: Path, task: str, form: Layout, sections: tuple[str, ...]) -> None:
    lacking = []
    for section in sections:
        for kind in isic2018.kinds(task):
            if kind == "attribute" and (section, kind) not in form.folders.values():
                raise InputError(
                    f"only ISIC 2018 has attribute masks, not {form.title or 'your own folders'}."
                )
            roles = isic2018.ATTRIBUTES if kind == "attribute" else (kind,)
            if not any(found.get((section, role)) for role in roles):
                lacking.append(form.folder_of(section, kind))
    if lacking:
        raise InputError(
            f"the source folder {source} holds no files of {', '.join(lacking)}; put the archive (.zip) or "
            "the unpacked folder of that name there"
            + (", for example with `dermaseg download isic2018`." if form is ISIC_2018 else ".")
        )


def _decide(found: Found, decisions: Decisions, sections: tuple[str, ...]) -> list[str]:
    """Change what was found as an audit decided, and say what was changed."""
    doubted: set[str] = set()
    corrected: set[str] = set()
    for (section, role), table in found.items():
        if section not in sections:
            continue
        doubted |= decisions.doubted.intersection(table)
        for name in decisions.doubted.intersection(table):
            del table[name]
        if role == "lesion":
            replaced = decisions.corrected.keys() & table.keys()
            table.update({name: decisions.corrected[name] for name in replaced})
            corrected |= replaced
    return [
        f"{_counted(sorted(names), 'image')} {what} by the audit"
        for names, what in ((doubted, "left out"), (corrected, "with a mask corrected"))
        if names
    ]


def _pair(
    found: Found, options: _Options, form: Layout, sections: tuple[str, ...]
) -> tuple[list[Pair], list[Problem], dict[str, str]]:
    """Bring photos and masks of one id together; also name the incomplete ones and every id's section."""
    roles = ["image"]
    roles += ["lesion"] if options.task in ("lesion", "both") else []
    roles += list(isic2018.ATTRIBUTES) if options.task in ("attribute", "both") else []
    pairs: list[Pair] = []
    problems: list[Problem] = []
    homes: dict[str, str] = {}
    for section in sections:
        tables = {role: found.get((section, role), {}) for role in roles}
        for name in sorted(set().union(*tables.values())):
            files = {role: table[name] for role, table in tables.items() if name in table}
            if name in homes:
                other = form.folder_of(homes[name], "image")
                raise InputError(
                    f"{name} lies both in {other} and among the {section} files; keep one of them."
                )
            homes[name] = section
            lacking = [role for role in roles if role not in files]
            if not lacking:
                pairs.append(Pair(name, files, _fingerprint(files, options)))
            elif "image" in lacking:
                problems.append(Problem(name, next(iter(files.values())).name, "has no photo"))
            else:
                masks = ", ".join(role.replace("_", " ") for role in lacking)
                problems.append(Problem(name, files["image"].name, f"has no mask for {masks}"))
    return pairs, problems, homes


def _fingerprint(files: Mapping[str, SourceFile], options: _Options) -> str:
    stamps = [[role, file.file_name, *file.fingerprint] for role, file in files.items()]
    facts = [_FORMAT, options.size, options.soft_masks, stamps]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _strict_error(problem: Problem) -> InputError:
    return InputError(f"bad pair {problem}; mend or remove it, or run without strict to leave it out.")


def _groups(
    table: str | os.PathLike[str] | None, form: Layout, files: list[SourceFile], output: Path
) -> dict[str, str]:
    if table is not None:
        return read_groups(table)
    metadata = metadata_of(form, files)
    if metadata is None:
        return {}
    output.mkdir(parents=True, exist_ok=True)
    with metadata.on_disk(output) as path:
        return read_groups(path)


def _store_all(pairs: list[Pair], output: Path, options: _Options) -> tuple[dict[str, Record], int]:
    """Store every pair that the journal does not vouch for; all records, and how many it vouched for."""
    journal = output / JOURNAL_NAME
    earlier = read_journal(journal)
    same = check_unchanged(output, earlier.values())
    records = {
        pair.id: record
        for pair in pairs
        if (record := earlier.get(pair.id)) is not None
        and record.key == pair.key
        and same.issuperset(file.name for file in record.files.values())
    }
    reused = sum(not record.problem for record in records.values())
    todo = [pair for pair in pairs if pair.id not in records]
    if options.strict and (bad := next((r for r in records.values() if r.problem), None)) and bad.problem:
        raise _strict_error(Problem(bad.id, *bad.problem))
    if todo:
        # from here on files change, so that an old list would no longer describe them
        (output / DATALIST_NAME).unlink(missing_ok=True)
        for folder in dict.fromkeys(FOLDERS.values()):
            (output / folder).mkdir(parents=True, exist_ok=True)
            remove_temporary(output / folder)
        # what is about to be stored vouches for nothing and is protected from nothing
        write_journal(journal, {**earlier, **{p.id: _open(earlier[p.id]) for p in todo if p.id in earlier}})
        with journal.open("a", encoding="utf-8") as stream:
            for record in _store_parallel(todo, output, options):
                records[record.id] = record
                stream.write(line_of(record))
                stream.flush()
                if options.strict and record.problem:
                    raise _strict_error(Problem(record.id, *record.problem))
    records = {pair.id: records[pair.id] for pair in pairs}
    current = {file.name for record in records.values() for file in record.files.values()}
    owned = {file.name for record in earlier.values() for file in record.files.values()}
    stale = sorted(owned - current)
    if stale:
        (output / DATALIST_NAME).unlink(missing_ok=True)
        for name in stale:
            (output / name).unlink(missing_ok=True)
    if (todo or stale) and hasattr(os, "sync"):
        os.sync()  # once for thousands of small files, before a list names them
    write_journal(journal, records)
    return records, reused


def _open(record: Record) -> Record:
    return Record(record.id, "", {role: FileStamp(file.name, 0, 0, 0) for role, file in record.files.items()})


def _store_parallel(pairs: list[Pair], output: Path, options: _Options) -> Iterator[Record]:
    # threads do: Pillow and zlib release the interpreter lock while they decode
    workers = options.workers or min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    try:
        stored = bounded_map(
            pool,
            lambda pair: store_pair(pair, output, options.size, options.soft_masks),
            pairs,
            ahead=2 * workers,
        )
        yield from tqdm(stored, total=len(pairs), desc="Preparing", unit="image", disable=None)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chosen(
    good: Mapping[str, Record], split: str, homes: Mapping[str, str], together: list[tuple[str, ...]]
) -> dict[str, list[str]]:
    if split == "random":
        return assign(good, [*isic2018.NEAR_DUPLICATES, *together])
    if split == "external":
        return {"training": [], "validation": [], "test": sorted(good)}
    sections = {section: sorted(n for n in good if homes[n] == section) for section in isic2018.SECTIONS}
    return {**sections, "training": shuffled(sections["training"])}


def _notes(
    good: Mapping[str, Record],
    passed: list[str],
    split: str,
    counts: Mapping[str, int],
    form: Layout,
    group_of: Mapping[str, str],
) -> list[str]:
    notes = []
    if passed:
        notes.append(f"passed over {_counted(passed, 'file')}: neither photo nor mask")
    read: dict[str, list[str]] = {}
    for record in good.values():
        for file, note in record.notes:
            read.setdefault(note, []).append(file)
    notes += [f"{_counted(files, 'mask')}: {note}" for note, files in read.items()]
    for what, area in (("empty", 0.0), ("all lesion", 1.0)):
        names = [name for name, record in good.items() if record.area == area]
        if names:
            notes.append(f"{_counted(names, 'mask')}: {what}")
    if group_of:
        groups = Counter(group_of[name] for name in good if name in group_of)
        alone = len(good) - sum(groups.values())
        notes.append(
            f"{len(groups)} groups, the largest of {max(groups.values(), default=0)} images; {alone} images are in none"
        )
    known = len(_official_ids().intersection(good))
    if known and form is not ISIC_2018:
        notes.append(
            f"{known} of the images are in ISIC 2018's training set, on which the bundles here were trained: "
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


def _counted(names: list[str], noun: str) -> str:
    """The number of things and the first of them."""
    first = ", ".join(names[:3])
    return f"{len(names)} {noun}{'s' * (len(names) != 1)} ({first}{' ...' * (len(names) > 3)})"


def _item(record: Record, task: str) -> dict[str, Any]:
    paths = {role: file.name for role, file in record.files.items()}
    attributes = [paths[name] for name in isic2018.ATTRIBUTES if name in paths]
    item: dict[str, Any] = {"id": record.id, "image": paths["image"]}
    if task == "attribute":
        return {**item, "label": attributes}
    item["label"] = paths["lesion"]
    return {**item, "attributes": attributes} if task == "both" else item

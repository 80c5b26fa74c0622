"""Storing of pairs in a prepared folder, as far as its journal does not vouch for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from dermaseg_monai.datasets.checks import FOLDERS, Pair, store_pair
from dermaseg_monai.datasets.isic2018 import DATALIST_NAME
from dermaseg_monai.datasets.journal import (
    JOURNAL_NAME,
    FileStamp,
    Record,
    check_unchanged,
    line_of,
    read_journal,
    write_journal,
)
from dermaseg_monai.datasets.pairing import Problem
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import sweep
from dermaseg_monai.utils.threads import bounded_map


def store_pairs(
    pairs: list[Pair], output: Path, size: int | None, soft_masks: bool, strict: bool, workers: int | None
) -> tuple[dict[str, Record], int]:
    """Store every pair that the journal does not vouch for, and remove files of pairs that are no more.

    Args:
        pairs: all that the prepared folder is to hold.
        output: the prepared folder.
        size: longest side of what is stored, in pixels; None for the files' own.
        soft_masks: whether masks of grey levels are taken.
        strict: whether the first pair that is refused ends the work.
        workers: threads; None for one a processor, at most eight.

    Returns:
        The record of each pair by its id, and how many of them an earlier run had stored.

    Raises:
        InputError: a person changed a stored file, or, with ``strict``, for the first bad pair.
    """
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
    if strict and (bad := next((r for r in records.values() if r.problem), None)) and bad.problem:
        raise strict_error(Problem(bad.id, *bad.problem))
    if todo:
        # from here on files change, so that an old list would no longer describe them
        (output / DATALIST_NAME).unlink(missing_ok=True)
        for folder in dict.fromkeys(FOLDERS.values()):
            (output / folder).mkdir(parents=True, exist_ok=True)
            sweep(output / folder, age=0)
        # what is about to be stored vouches for nothing and is protected from nothing
        write_journal(journal, {**earlier, **{p.id: _open(earlier[p.id]) for p in todo if p.id in earlier}})
        with journal.open("a", encoding="utf-8") as stream:
            for record in _store_parallel(todo, output, size, soft_masks, workers):
                records[record.id] = record
                stream.write(line_of(record))
                stream.flush()
                if strict and record.problem:
                    raise strict_error(Problem(record.id, *record.problem))
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


def strict_error(problem: Problem) -> InputError:
    """What ends a strict run at its first bad pair."""
    return InputError(f"bad pair {problem}; mend or remove it, or run without strict to leave it out.")


def _open(record: Record) -> Record:
    return Record(record.id, "", {role: FileStamp(file.name, 0, 0, 0) for role, file in record.files.items()})


def _store_parallel(
    pairs: list[Pair], output: Path, size: int | None, soft_masks: bool, workers: int | None
) -> Iterator[Record]:
    # threads do: Pillow and zlib release the interpreter lock while they decode
    workers = workers or min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    try:
        stored = bounded_map(
            pool,
            lambda pair: store_pair(pair, output, size, soft_masks),
            pairs,
            ahead=2 * workers,
        )
        yield from tqdm(stored, total=len(pairs), desc="preparing", unit="image", disable=None)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

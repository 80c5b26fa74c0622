"""The journal of a prepared folder: what was stored of each image, so that nothing is done twice or overwritten."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_text

JOURNAL_NAME = ".prepared.jsonl"
CHECKSUM = "checksum"
"""Key of a datalist's own hash, by which a list that a person changed is known."""


class FileStamp(NamedTuple):
    """A file as it was stored.

    Attributes:
        name: path inside the prepared folder.
        size: bytes; 0 for a file that is about to be stored.
        time: of its last change, in nanoseconds.
        crc: CRC-32 of its content.
    """

    name: str
    size: int
    time: int
    crc: int


@dataclass
class Record:
    """A line of the journal: what became of one image.

    Attributes:
        id: the image.
        key: of the :class:`~dermaseg_monai.datasets.checks.Pair` that was stored.
        files: by role.
        problem: the file at fault and what is wrong with it, where the image was left out.
        area: share of the photo that the lesion covers, 0 to 1; None without a lesion mask.
        notes: files and what had to be decided in reading them.
        pixels_per_mm: scale of the stored photo on the skin; None where its file does not tell.
    """

    id: str
    key: str
    files: dict[str, FileStamp] = field(default_factory=dict)
    problem: tuple[str, str] | None = None
    area: float | None = None
    notes: list[tuple[str, str]] = field(default_factory=list)
    pixels_per_mm: float | None = None


def stamp(output: Path, name: str, crc: int | None = None) -> FileStamp:
    """The stamp of a file of the prepared folder as it is now; ``crc`` is its CRC-32 where that is known."""
    path = output / name
    status = path.stat()
    crc = zlib.crc32(path.read_bytes()) if crc is None else crc
    return FileStamp(name, status.st_size, status.st_mtime_ns, crc)


def read_journal(path: Path) -> dict[str, Record]:
    """The last record of every image; of a damaged file what can be read."""
    records: dict[str, Record] = {}
    if not path.exists():
        return records
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        # the line that an interruption cut short, the empty one after it, or one that is none of the program's
        with suppress(ValueError, TypeError, KeyError):
            content = json.loads(line)
            files = {role: FileStamp(*values) for role, values in content["files"].items()}
            if any(
                ".." in (name := PurePosixPath(file.name)).parts or name.is_absolute()
                for file in files.values()
            ):
                continue
            problem = tuple(content["problem"]) if content["problem"] else None
            notes = [(str(source), str(note)) for source, note in content["notes"]]
            record = Record(
                content["id"],
                content["key"],
                files,
                problem,
                content["area"],
                notes,
                content["pixels_per_mm"],
            )
            records[record.id] = record
    return records


def line_of(record: Record) -> str:
    """A record as a line of the journal."""
    return json.dumps(vars(record)) + "\n"


def write_journal(path: Path, records: Mapping[str, Record]) -> None:
    """Write the journal anew, one line for each image; one that would not change is left alone."""
    write_changed(path, "".join(line_of(records[name]) for name in sorted(records)))


def check_unchanged(output: Path, records: Iterable[Record]) -> set[str]:
    """Find the files that are as they were stored, and refuse to go on where a person has changed one.

    Args:
        output: the prepared folder.
        records: of the journal; the times of files that were only copied are brought up to date.

    Returns:
        Names of the files that are as recorded; the others are missing, empty, or were about to be stored.

    Raises:
        InputError: a file has other content, which preparing again would replace.
    """
    same: set[str] = set()
    for record in records:
        for role, file in record.files.items():
            path = output / file.name
            try:
                status = path.stat()
            except OSError:
                continue
            if file.size == 0 or status.st_size == 0:
                continue
            if (status.st_size, status.st_mtime_ns) != (file.size, file.time):
                now = stamp(output, file.name)
                if (now.size, now.crc) != (file.size, file.crc):
                    raise InputError(
                        f"{path} was changed since it was stored, and preparing again would replace it; mend the "
                        "file in the source instead and remove this one, or choose another output."
                    )
                record.files[role] = now
            same.add(file.name)
    return same


def with_checksum(content: dict[str, Any]) -> dict[str, Any]:
    """A datalist with its own hash at the end."""
    plain = {key: value for key, value in content.items() if key != CHECKSUM}
    text = json.dumps(plain, sort_keys=True)
    return {**plain, CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def check_own(datalist: Path) -> None:
    """Refuse to replace a datalist that is not as the program wrote it.

    Raises:
        InputError: a person wrote or changed it.
    """
    if not datalist.exists():
        return
    with suppress(ValueError):
        content = json.loads(datalist.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get(CHECKSUM) == with_checksum(content)[CHECKSUM]:
            return
    raise InputError(
        f"{datalist} was written or changed by hand, and preparing again would replace it; choose another output, or "
        "move it away (--groups FILE.csv keeps the photos of a patient on one side)."
    )


def write_changed(path: Path, text: str) -> None:
    """Write a text file, unless it holds just that."""
    if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_text(path, text)

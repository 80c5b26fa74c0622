"""From the official archives to a checked folder with a ``datalist.json``."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from dermaseg_monai.data import isic2018
from dermaseg_monai.data.datalist import DATALIST_NAME
from dermaseg_monai.data.sources import Found, SourceFile, find_sources
from dermaseg_monai.data.splits import assign, official_split, shuffled
from dermaseg_monai.errors import InputError
from dermaseg_monai.files import write_text

SPLITS = ("random", "official")
JOURNAL_NAME = ".prepared.jsonl"
FOLDERS = {"image": "images", "lesion": "masks", **dict.fromkeys(isic2018.ATTRIBUTES, "attributes")}
MASK_SUFFIXES = {"lesion": isic2018.LESION_SUFFIX, **isic2018.ATTRIBUTE_SUFFIXES}
MIN_SIZE = 16

# part of every fingerprint: raise it when the same source would be stored differently
_FORMAT = 1
_JPEG_QUALITY = 95
_EXIF_ORIENTATION = 0x0112
_READ_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    SyntaxError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


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
    """

    datalist: Path
    counts: Mapping[str, int]
    left_out: tuple[Problem, ...]
    reused: int

    def __str__(self) -> str:
        lines = [f"left out {problem}" for problem in self.left_out]
        sections = ", ".join(f"{section} {count}" for section, count in self.counts.items())
        lines.append(
            f"{self.datalist}: {sum(self.counts.values())} images ({sections}), "
            f"{self.reused} of them from before, {len(self.left_out)} left out"
        )
        empty = [section for section, count in self.counts.items() if not count]
        if empty:
            lines.append(f"no image falls into {' and '.join(empty)}: official ids keep their fixed sections")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Pair:
    id: str
    files: Mapping[str, SourceFile]
    key: str


@dataclass
class _Record:
    """A line of the journal: what became of one image."""

    id: str
    key: str
    files: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    problem: tuple[str, str] | None = None


@dataclass(frozen=True)
class _Content:
    """A file to store: its bytes, and whether they are the source's own."""

    source: SourceFile
    data: bytes
    suffix: str
    unchanged: bool


class _BadFileError(Exception):
    def __init__(self, file: SourceFile, what: str) -> None:
        super().__init__(what)
        self.problem = (file.name, what)


def prepare(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    task: str = "lesion",
    split: str = "random",
    size: int | None = None,
    strict: bool = False,
    workers: int | None = None,
) -> PrepareSummary:
    """Check the official ISIC 2018 files and lay them out for training.

    Every photo is paired with its masks, all are decoded to the last pixel, and their sizes are compared.
    Good pairs are stored in ``images/``, ``masks/`` and ``attributes/`` of ``output``, byte for byte as they
    are (a hard link where possible); ``datalist.json`` is written last. A photo with an EXIF orientation is
    stored upright, so that it lies on its mask for any reader. Another run on the same source decodes
    nothing and changes nothing; a run after an interrupted one goes on where that one stopped.

    Args:
        source: folder with the official archives or their unpacked folders, at any depth.
        output: folder to write, apart from ``source``; one that an earlier run made, or without such folders.
        task: "lesion" (Task 1), "attribute" (Task 2) or "both".
        split: "random" (the fixed 70/15/15 split of the training ids) or "official" (the challenge's own
            training, validation and test folders).
        size: store reduced copies whose long side has this many pixels (photos as JPEG of quality 95, masks
            as PNG of 0 and 255); smaller images stay as they are. None keeps the full size.
        strict: end with an error at the first bad pair instead of leaving it out.
        workers: threads; None takes one per processor, at most eight.

    Returns:
        Where the datalist lies, how many images each section has, and what was left out and why.

    Raises:
        InputError: when an argument is wrong, the source lacks what the task needs, or, with ``strict``, for
            the first bad pair.
    """
    source, output = Path(source).expanduser(), Path(output).expanduser()
    _check_arguments(source, output, task, split, size, workers)
    with ExitStack() as stack:
        found = find_sources(source, stack)
        sections = ("training",) if split == "random" else isic2018.SECTIONS
        _check_found(found, source, task, sections)
        pairs, missing, homes = _pair(found, task, sections, size)
        if strict and missing:
            raise _strict_error(missing[0])
        if not pairs:
            raise InputError(f"No photo in {source} has all its masks; the first: {missing[0]}.")
        records, reused = _store_all(pairs, output, size, strict, workers)
    bad = [Problem(r.id, *r.problem) for r in records.values() if r.problem]
    left_out = sorted([*missing, *bad], key=lambda problem: problem.id)
    good = {name: record for name, record in records.items() if not record.problem}
    if not good:
        raise InputError(
            f"None of the {len(left_out)} images in {source} can be used; the first: {left_out[0]}."
        )
    chosen = assign(good) if split == "random" else _official_sections(good, homes)
    known = {name for names in official_split().values() for name in names}
    content = {
        "name": "ISIC 2018" if split == "official" or known.issuperset(good) else source.resolve().name,
        "task": task,
        "split": split,
        "size": size,
        **({} if task == "lesion" else {"attributes": list(isic2018.ATTRIBUTES)}),
        **{section: [_item(good[name], task) for name in names] for section, names in chosen.items()},
    }
    datalist = output / DATALIST_NAME
    _write_changed(datalist, json.dumps(content, indent=1) + "\n")
    counts = {section: len(names) for section, names in chosen.items()}
    return PrepareSummary(datalist, counts, tuple(left_out), reused)


def _check_arguments(
    source: Path, output: Path, task: str, split: str, size: int | None, workers: int | None
) -> None:
    if task not in isic2018.TASKS:
        raise InputError(f"The task must be one of {', '.join(isic2018.TASKS)}, not {task!r}.")
    if split not in SPLITS:
        raise InputError(f"The split must be one of {', '.join(SPLITS)}, not {split!r}.")
    if size is not None and (type(size) is not int or size < MIN_SIZE):
        raise InputError(f"The size must be a whole number of at least {MIN_SIZE} pixels, not {size!r}.")
    if workers is not None and (type(workers) is not int or workers < 1):
        raise InputError(f"The number of workers must be a whole number of at least 1, not {workers!r}.")
    if not source.is_dir():
        raise InputError(
            f"The source folder {source} does not exist; give the folder with the official archives."
        )
    inner, outer = output.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise InputError(
            f"The output folder {output} and the source folder {source} must lie apart; choose another."
        )
    if output.exists() and not output.is_dir():
        raise InputError(f"The output {output} is a file; give a folder.")
    if not (output / JOURNAL_NAME).exists():
        for folder in dict.fromkeys(FOLDERS.values()):
            if (output / folder).exists() and any((output / folder).iterdir()):
                raise InputError(
                    f"The folder {output / folder} holds files that no earlier run made; choose another "
                    "output."
                )


def _check_found(found: Found, source: Path, task: str, sections: tuple[str, ...]) -> None:
    lacking = []
    for section in sections:
        for kind in isic2018.kinds(task):
            roles = isic2018.ATTRIBUTES if kind == "attribute" else (kind,)
            if not any(found.get((section, role)) for role in roles):
                lacking.append(isic2018.ARCHIVES[section, kind].folder)
    if lacking:
        raise InputError(
            f"The source folder {source} holds no files of {', '.join(lacking)}; put the archive (.zip) or "
            "the unpacked folder of that name there, for example with `dermaseg download isic2018`."
        )


def _pair(
    found: Found, task: str, sections: tuple[str, ...], size: int | None
) -> tuple[list[_Pair], list[Problem], dict[str, str]]:
    """Bring photos and masks of one id together; also name the incomplete ones and every id's section."""
    roles = ["image"]
    roles += ["lesion"] if task in ("lesion", "both") else []
    roles += list(isic2018.ATTRIBUTES) if task in ("attribute", "both") else []
    pairs: list[_Pair] = []
    problems: list[Problem] = []
    homes: dict[str, str] = {}
    for section in sections:
        tables = {role: found.get((section, role), {}) for role in roles}
        for name in sorted(set().union(*tables.values())):
            files = {role: table[name] for role, table in tables.items() if name in table}
            if name in homes:
                other = isic2018.ARCHIVES[homes[name], "image"].folder
                raise InputError(
                    f"{name} lies both in {other} and among the {section} files; keep one of them."
                )
            homes[name] = section
            lacking = [role for role in roles if role not in files]
            if not lacking:
                pairs.append(_Pair(name, files, _fingerprint(files, size)))
            elif "image" in lacking:
                problems.append(Problem(name, next(iter(files.values())).name, "has no photo"))
            else:
                masks = ", ".join(role.replace("_", " ") for role in lacking)
                problems.append(Problem(name, files["image"].name, f"has no mask for {masks}"))
    return pairs, problems, homes


def _fingerprint(files: Mapping[str, SourceFile], size: int | None) -> str:
    facts = [_FORMAT, size, [[role, file.file_name, *file.fingerprint] for role, file in files.items()]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _strict_error(problem: Problem) -> InputError:
    return InputError(f"Bad pair {problem}; mend or remove it, or run without strict to leave it out.")


def _store_all(
    pairs: list[_Pair], output: Path, size: int | None, strict: bool, workers: int | None
) -> tuple[dict[str, _Record], int]:
    """Store every pair that the journal does not vouch for; all records, and how many it vouched for."""
    journal = output / JOURNAL_NAME
    earlier, owned = _read_journal(journal)
    records = {pair.id: earlier[pair.id] for pair in pairs if _vouched(earlier.get(pair.id), pair, output)}
    reused = sum(not record.problem for record in records.values())
    todo = [pair for pair in pairs if pair.id not in records]
    if strict and (bad := next((r for r in records.values() if r.problem), None)) and bad.problem:
        raise _strict_error(Problem(bad.id, *bad.problem))
    if todo:
        # from here on files change, so that an old list would no longer describe them
        (output / DATALIST_NAME).unlink(missing_ok=True)
        for folder in dict.fromkeys(FOLDERS.values()):
            (output / folder).mkdir(parents=True, exist_ok=True)
            _remove_temporary(output / folder)
        with journal.open("a", encoding="utf-8") as stream:
            stream.write("\n")  # ends a line that an interruption cut short
            for record in _store_parallel(todo, output, size, workers):
                records[record.id] = record
                stream.write(_line(record))
                stream.flush()
                if strict and record.problem:
                    raise _strict_error(Problem(record.id, *record.problem))
    records = {pair.id: records[pair.id] for pair in pairs}
    current = {file[0] for record in records.values() for file in record.files.values()}
    stale = sorted(owned - current)
    if stale:
        (output / DATALIST_NAME).unlink(missing_ok=True)
        for name in stale:
            (output / name).unlink(missing_ok=True)
    if (todo or stale) and hasattr(os, "sync"):
        os.sync()  # once for thousands of small files, before a list names them
    _write_changed(journal, "".join(_line(records[name]) for name in sorted(records)))
    return records, reused


def _store_parallel(
    pairs: list[_Pair], output: Path, size: int | None, workers: int | None
) -> Iterator[_Record]:
    # threads do: Pillow and zlib release the interpreter lock while they decode
    pool = ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1))
    try:
        done = pool.map(lambda pair: _store_pair(pair, output, size), pairs)
        yield from tqdm(done, total=len(pairs), desc="Preparing", unit="image", disable=None)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _store_pair(pair: _Pair, output: Path, size: int | None) -> _Record:
    try:
        contents = _check_pair(pair, size)
    except _BadFileError as error:
        return _Record(pair.id, pair.key, problem=error.problem)
    files = {}
    for role, content in contents.items():
        name = f"{FOLDERS[role]}/{pair.id}{content.suffix}"
        status = _place(content, output / name)
        files[role] = (name, status.st_size, status.st_mtime_ns)
    return _Record(pair.id, pair.key, files)


def _check_pair(pair: _Pair, size: int | None) -> dict[str, _Content]:
    contents = {}
    contents["image"], frame = _check_photo(pair.files["image"], size)
    for role, file in pair.files.items():
        if role != "image":
            contents[role] = _check_mask(file, MASK_SUFFIXES[role], frame, pair.files["image"], size)
    return contents


def _check_photo(file: SourceFile, size: int | None) -> tuple[_Content, tuple[int, int]]:
    """The photo to store, and its upright (width, height) in the source."""
    data, image = _open(file)
    with _reading(file), image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        frame = (image.height, image.width) if orientation in (5, 6, 7, 8) else image.size
        target = _reduced(frame, size)
        if target != frame:
            # lets the JPEG decoder skip the finest frequencies; it still reads the file to its end
            image.draft(None, (2 * max(target), 2 * max(target)))
        image.load()
        if target == frame and orientation not in (2, 3, 4, 5, 6, 7, 8):
            return _Content(file, data, Path(file.file_name).suffix.lower(), True), frame
        upright = _rgb(ImageOps.exif_transpose(image))
        if target != frame:
            upright = upright.resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0)
        buffer = io.BytesIO()
        colours = image.info.get("icc_profile") if image.mode == "RGB" else None
        upright.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, icc_profile=colours)
    return _Content(file, buffer.getvalue(), ".jpg", False), frame


def _check_mask(
    file: SourceFile, suffix: str, frame: tuple[int, int], photo: SourceFile, size: int | None
) -> _Content:
    data, image = _open(file)
    with _reading(file), image:
        image.load()
        grey = image.convert("L")
    if grey.size != frame:
        what = (
            f"is {grey.width}x{grey.height} pixels, but its photo {photo.file_name} is {frame[0]}x{frame[1]}"
        )
        raise _BadFileError(file, what)
    if 0 < grey.getextrema()[1] < 128:  # type: ignore[operator]  # one band, so one pair of numbers
        raise _BadFileError(
            file, "has no pixel of 128 or more though it is not empty: masks are of 0 and 255"
        )
    target = _reduced(frame, size)
    if target == frame:
        return _Content(file, data, suffix, True)
    reduced = grey.resize(target, Image.Resampling.BOX).point(lambda value: 255 if value >= 128 else 0)
    buffer = io.BytesIO()
    reduced.save(buffer, "PNG")
    return _Content(file, buffer.getvalue(), suffix, False)


def _open(file: SourceFile) -> tuple[bytes, Image.Image]:
    with _reading(file):
        data = file.read()
        image = Image.open(io.BytesIO(data))
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise ValueError(
                f"it has {image.width}x{image.height} pixels, more than Pillow's limit of {limit:,}"
            )
    return data, image


@contextmanager
def _reading(file: SourceFile) -> Iterator[None]:
    try:
        yield
    except _READ_ERRORS as error:
        # Pillow's own messages may show the memory address of the stream
        reason = re.sub(r"\s*<_io\.BytesIO object[^>]*>", "", str(error)) or type(error).__name__
        raise _BadFileError(file, f"can not be read fully ({reason})") from error


def _reduced(frame: tuple[int, int], size: int | None) -> tuple[int, int]:
    if size is None or max(frame) <= size:
        return frame
    scale = size / max(frame)
    return max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit values at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _place(content: _Content, path: Path) -> os.stat_result:
    """Put a file in its place in one step; whether it reached the disk is ensured once, for all files."""
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        if not (
            content.unchanged and content.source.archive is None and _link(content.source.path, temporary)
        ):
            temporary.write_bytes(content.data)
        os.replace(temporary, path)
    finally:
        # also where both names were links to one file: then replacing does nothing
        temporary.unlink(missing_ok=True)
    return path.stat()


def _link(source: Path, target: Path) -> bool:
    with suppress(OSError):
        os.link(os.path.realpath(source), target)
        return True
    return False


def _remove_temporary(folder: Path) -> None:
    for path in folder.glob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{8}\.\w+", path.name):
            path.unlink()


def _read_journal(path: Path) -> tuple[dict[str, _Record], set[str]]:
    """The last record of every image, and every file that any record names."""
    records: dict[str, _Record] = {}
    owned: set[str] = set()
    if not path.exists():
        return records, owned
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, TypeError):  # the line an interruption cut short, or the empty one after it
            content = json.loads(line)
            files = {
                role: (str(name), int(size), int(time))
                for role, (name, size, time) in content["files"].items()
            }
            problem = (str(content["problem"][0]), str(content["problem"][1])) if content["problem"] else None
            record = _Record(str(content["id"]), str(content["key"]), files, problem)
            records[record.id] = record
            owned.update(
                name for name, _, _ in files.values() if PurePosixPath(name).parts[0] in FOLDERS.values()
            )
    return records, owned


def _line(record: _Record) -> str:
    return json.dumps(vars(record)) + "\n"


def _vouched(record: _Record | None, pair: _Pair, output: Path) -> bool:
    """Whether the record is of this very pair and its files are as they were written."""
    if record is None or record.key != pair.key:
        return False
    for name, size, time in record.files.values():
        try:
            status = (output / name).stat()
        except OSError:
            return False
        if (status.st_size, status.st_mtime_ns) != (size, time):
            return False
    return True


def _official_sections(good: Mapping[str, _Record], homes: Mapping[str, str]) -> dict[str, list[str]]:
    split = {section: sorted(n for n in good if homes[n] == section) for section in isic2018.SECTIONS}
    return {**split, "training": shuffled(split["training"])}


def _item(record: _Record, task: str) -> dict[str, Any]:
    paths = {role: name for role, (name, _, _) in record.files.items()}
    attributes = [paths[name] for name in isic2018.ATTRIBUTES if name in paths]
    item: dict[str, Any] = {"id": record.id, "image": paths["image"]}
    if task == "attribute":
        return {**item, "label": attributes}
    item["label"] = paths["lesion"]
    return {**item, "attributes": attributes} if task == "both" else item


def _write_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)

"""Zip archives of bundles: made reproducibly, and unpacked without trust."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_path

MAX_BYTES = 4 << 30
"""Most that an archive may hold once unpacked: the largest published weights, of SAM ViT-H, are 2.4 GiB."""

MAX_ENTRIES = 1_000
MAX_RATIO = 200
"""Most that an entry of more than a megabyte may grow by; text grows by 20, weights hardly at all."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What zipfile raises of damage, apart from OSError."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def write_archive(path: str | os.PathLike[str], root: str, files: Mapping[str, Path]) -> None:
    """Write a zip that depends on names and contents alone.

    Entries are stored, not compressed, because compressed bytes differ between versions of zlib, and weights
    hardly shrink; they are in the order of their names, dated 1980-01-01, with mode 0644.

    Args:
        path: the archive; it appears once it is whole.
        root: name of the folder that everything in the archive is in.
        files: by path within that folder, with ``/``.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{root}/{name}", _EPOCH)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.file_size = files[name].stat().st_size
            with files[name].open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _BLOCK)


def checked_entries(archive: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """Check the list of an archive's entries, before any of them is read.

    Args:
        archive: opened for reading.

    Returns:
        The root folder's name, and the files by their path within it.

    Raises:
        InputError: an entry steps out of the one root folder, is a link or anything but a file or folder, is
            encrypted or packed in a way other than the usual two, has a name that some file system reads
            differently, stands on another, or the whole is far larger than a bundle.
    """
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise InputError(
            f"the archive has {len(entries):,} entries; a bundle has no more than {MAX_ENTRIES:,}."
        )
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES:
        raise InputError(f"the archive unpacks to {total:,} bytes; no more than {MAX_BYTES:,} are taken.")
    files: list[tuple[str, zipfile.ZipInfo]] = []
    roots: set[str] = set()
    for entry in entries:
        problem = _problem(entry)
        if problem:
            raise InputError(f"the archive is refused: its entry {entry.orig_filename!r} {problem}.")
        root, *rest = PurePosixPath(entry.filename).parts
        roots.add(root)
        if not entry.is_dir():
            files.append(("/".join(rest), entry))
    if len(roots) != 1 or not files or any(not name for name, _ in files):
        raise InputError("the archive is refused: it is not one folder with everything in it.")
    _check_distinct(name for name, _ in files)
    return roots.pop(), dict(files)


def unpack(path: Path, folder: Path) -> str:
    """Unpack a bundle's archive.

    Args:
        path: the zip.
        folder: where the files go, without the archive's root folder; it must be empty or missing.

    Returns:
        Name of the archive's root folder.

    Raises:
        InputError: the archive is no zip, damaged, or refused; see :func:`checked_entries`.
    """
    with open_archive(path) as archive:
        root, files = checked_entries(archive)
        for name, entry in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("xb") as stream:
                # reads no more than the entry's own size and checks its CRC
                shutil.copyfileobj(source, stream, _BLOCK)
    return root


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading within the block.

    Args:
        path: the zip.

    Yields:
        The archive.

    Raises:
        InputError: it is no zip or damaged, however that shows in the block, or the block refuses it; the message
            begins with the file's name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except (*_DAMAGE, OSError) as error:
        # a damaged offset makes zipfile seek to a place before the file
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise InputError(f"{path.name} is not a whole zip archive ({error}).") from error


def _problem(entry: zipfile.ZipInfo) -> str | None:
    name = entry.orig_filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in parts or "." in parts or "" in parts:
        return "steps out of its folder or has no plain path"
    if any(character in '\\:*?"<>|' or not character.isprintable() for character in name):
        return "has a name that not every system can write"
    if any(
        len(part.encode()) > 200 or part != part.rstrip(". ") or _RESERVED.fullmatch(part) for part in parts
    ):
        return "has a name that not every system can write"
    if entry.filename != name:
        return "has two names"
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return "is a link or another special file"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in an unusual way"
    if entry.is_dir() and entry.file_size:
        return "is a folder with contents"
    if entry.file_size > max(1 << 20, MAX_RATIO * entry.compress_size):
        return f"would grow to {entry.file_size:,} bytes, more than {MAX_RATIO} times its packed size"
    return None


def _check_distinct(names: Iterable[str]) -> None:
    files: set[str] = set()
    folders: set[str] = set()
    for name in names:
        # some file systems do not tell A from a, nor two ways to write an accent
        key = unicodedata.normalize("NFC", name).casefold()
        if key in files:
            raise InputError(f"the archive is refused: {name!r} is in it twice.")
        files.add(key)
        folders.update(map(str, PurePosixPath(key).parents))
    if clash := files & folders:
        raise InputError(f"the archive is refused: {min(clash)!r} is both a file and a folder.")

"""The official files of a folder, whether they lie in archives or unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from dermaseg_monai.data import isic2018
from dermaseg_monai.errors import InputError

MAX_FILE_BYTES = 1 << 30
"""A single photo or mask above this is refused: the largest official photo has some 30 MB."""

_FOLDERS = {archive.folder.lower(): key for key, archive in isic2018.ARCHIVES.items()}


@dataclass(frozen=True)
class SourceFile:
    """One file of the source, in a folder or in an archive.

    Attributes:
        name: path inside the source folder (``archive.zip/path inside it`` for an archive's), for messages.
        path: the file on disk, or the archive that holds it.
        fingerprint: numbers that change when the content does: size and CRC in an archive, else size and
            modification time.
        archive: the open archive, or None for a file on disk.
        member: the archive's own entry.
    """

    name: str
    path: Path
    fingerprint: tuple[int, int]
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None

    @property
    def file_name(self) -> str:
        """The last part of the name, with any Windows path cut off."""
        return PureWindowsPath(self.name).name

    def read(self) -> bytes:
        """The whole content; an archive's CRC is checked on the way.

        Raises:
            OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError: when it can not be read.
            ValueError: when it is larger than any photo.
        """
        if self.fingerprint[0] > MAX_FILE_BYTES:
            raise ValueError(f"it has {self.fingerprint[0]:,} bytes, more than any photo or mask")
        if self.archive is not None and self.member is not None:
            return self.archive.read(self.member)
        return self.path.read_bytes()


Found = dict[tuple[str, str], dict[str, SourceFile]]
"""For each (section, role) the files by image id; roles are "image", "lesion" and the attribute names."""


def find_sources(source: Path, stack: ExitStack) -> Found:
    """Collect the photos and masks of all official archives and folders below ``source``.

    An official folder is known by its name, at any depth and in any letter case; backslashes count as
    separators.
    Where an archive and its unpacked folder both lie there, the archive is read: it is whole and carries
    CRCs.

    Args:
        source: an existing folder.
        stack: keeps the archives open until its owner closes it.

    Returns:
        The files of each (section, role) by image id.

    Raises:
        InputError: for an archive that can not be read or holds unsafe paths, or an id that comes twice.
    """
    folders: Found = {}
    archives: Found = {}
    for file in _walk(source):
        relative = file.relative_to(source).as_posix()
        if file.suffix.lower() == ".zip":
            for entry in _entries(file, relative, stack):
                _add(archives, entry)
        elif file.suffix.lower() in isic2018.PHOTO_SUFFIXES and file.is_file():
            status = file.stat()
            _add(folders, SourceFile(relative, file, (status.st_size, status.st_mtime_ns)))
    packed = {_official_kind(*key) for key in archives}
    return archives | {key: files for key, files in folders.items() if _official_kind(*key) not in packed}


def _walk(source: Path) -> Iterator[Path]:
    seen = set()
    for folder, names, files in os.walk(source, followlinks=True):
        # links are followed, since data often lies on another disk, but never in a circle
        real = os.path.realpath(folder)
        names[:] = [] if real in seen else sorted(name for name in names if not _hidden(name))
        if real not in seen:
            yield from (Path(folder, name) for name in sorted(files) if not _hidden(name))
        seen.add(real)


def _entries(file: Path, relative: str, stack: ExitStack) -> Iterator[SourceFile]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"The archive {file} can not be read ({error}); download it again, or move it elsewhere."
        ) from error
    for member in archive.infolist():
        # a zip made by a Windows tool may separate folders by backslashes
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or PureWindowsPath(name).drive or ".." in PurePosixPath(name).parts:
            raise InputError(
                f"The archive {file} holds the unsafe path {member.filename!r}, which no official archive "
                "does; download it again."
            )
        if not name.endswith("/") and not any(_hidden(part) for part in PurePosixPath(name).parts):
            yield SourceFile(f"{relative}/{name}", file, (member.file_size, member.CRC), archive, member)


def _add(found: Found, file: SourceFile) -> None:
    key = _classify(file.name)
    if key is None:
        return
    section, role, name = key
    files = found.setdefault((section, role), {})
    if name in files:
        raise InputError(
            f"The {role.replace('_', ' ')} file of {name} comes twice, as {files[name].name} and "
            f"{file.name}; keep one of them."
        )
    files[name] = file


def _classify(path: str) -> tuple[str, str, str] | None:
    """The section, role and image id of a file, or None where it is not one of the official files."""
    *folders, name = path.replace("\\", "/").split("/")
    names = (folder.lower().removesuffix(".zip") for folder in reversed(folders))
    kind = next((_FOLDERS[folder] for folder in names if folder in _FOLDERS), None)
    if kind is None:
        return None
    section, what = kind
    if what == "image":
        return (section, "image", PurePosixPath(name).stem) if isic2018.is_photo(name) else None
    suffixes = {"lesion": isic2018.LESION_SUFFIX} if what == "lesion" else isic2018.ATTRIBUTE_SUFFIXES
    for role, suffix in suffixes.items():
        if name.lower().endswith(suffix):
            return section, role, name[: -len(suffix)]
    return None


def _official_kind(section: str, role: str) -> tuple[str, str]:
    return section, role if role in ("image", "lesion") else "attribute"


def _hidden(name: str) -> bool:
    # __MACOSX holds resource forks named like the photos
    return name.startswith(".") or name == "__MACOSX"

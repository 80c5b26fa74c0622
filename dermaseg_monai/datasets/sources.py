"""The files of a source folder, whether they lie in archives or unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from dermaseg_monai.image_files import is_photo_file, is_photo_name
from dermaseg_monai.image_files.kinds import SIGNATURE_BYTES, has_photo_signature
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import as_text, temporary_path

MAX_FILE_BYTES = 1 << 30
"""A single photo or mask above this is refused: the largest official photo has some 30 MB."""


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

    @cached_property
    def file_name(self) -> str:
        """The last part of the name, with any Windows path cut off."""
        return PureWindowsPath(self.name).name

    def is_photo(self) -> bool:
        """Whether it is an image by its name, or where that says nothing by its first bytes."""
        if self.archive is None or self.member is None:
            return is_photo_name(self.file_name) or is_photo_file(self.path)
        if is_photo_name(self.file_name):
            return True
        try:
            with self.archive.open(self.member) as stream:
                return has_photo_signature(stream.read(SIGNATURE_BYTES), PurePosixPath(self.file_name).suffix)
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
            return False

    @contextmanager
    def on_disk(self, folder: Path) -> Iterator[Path]:
        """Have the file under a path of its own: an archive's is unpacked to ``folder`` for the while.

        Args:
            folder: where there is room; the temporary name begins with a dot and keeps the ending.

        Yields:
            The path.

        Raises:
            OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError: the archive cannot be read.
            InputError: the file is larger than any photo.
        """
        if self.fingerprint[0] > MAX_FILE_BYTES:
            raise InputError(f"it has {self.fingerprint[0]:,} bytes, more than any photo or mask.")
        if self.archive is None or self.member is None:
            yield self.path
            return
        temporary = temporary_path(folder / self.file_name)
        try:
            temporary.write_bytes(self.archive.read(self.member))
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def list_files(source: Path, stack: ExitStack) -> list[SourceFile]:
    """All files below ``source`` that are not hidden, those inside zip archives included, in a fixed order.

    Args:
        source: an existing folder; links are followed.
        stack: keeps the archives open until its owner closes it.

    Raises:
        InputError: an archive cannot be read or holds unsafe paths.
    """
    files: list[SourceFile] = []
    for file in _walk(source):
        relative = file.relative_to(source).as_posix()
        if file.suffix.lower() == ".zip":
            files.extend(_entries(file, as_text(relative), stack))
        elif file.is_file():
            status = file.stat()
            files.append(SourceFile(as_text(relative), file, (status.st_size, status.st_mtime_ns)))
    return files


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
            f"the archive {file} cannot be read ({error}); download it again, or move it elsewhere."
        ) from error
    for member in archive.infolist():
        # a zip made by a Windows tool may separate folders by backslashes
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or PureWindowsPath(name).drive or ".." in PurePosixPath(name).parts:
            raise InputError(
                f"the archive {file} holds the unsafe path {member.filename!r}, which no official archive "
                "does; download it again."
            )
        if not name.endswith("/") and not any(_hidden(part) for part in PurePosixPath(name).parts):
            yield SourceFile(f"{relative}/{name}", file, (member.file_size, member.CRC), archive, member)


def _hidden(name: str) -> bool:
    # __MACOSX holds resource forks named like the photos
    return name.startswith(".") or name == "__MACOSX"

"""Files and folders that are either whole or absent."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dermaseg_monai.utils.errors import OutputError, refusal

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

STALE_SECONDS = 86_400
"""Age from which a temporary file is taken for one whose writer was killed."""


def temporary_path(path: Path) -> Path:
    """A hidden name beside ``path`` with the same ending, which :func:`sweep` knows."""
    # not by tempfile, which makes files private to their owner: results are shared like any other file
    return path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` and move it there once the block ends without an error.

    The temporary file keeps the suffix of ``path`` (writers choose their format by it), is flushed to disk
    before the rename, and is removed when the block raises, so that a reader never meets half a file.

    Args:
        path: the final file; its folder is made where it is missing.

    Yields:
        The temporary path to write to.

    Raises:
        OutputError: there is no room, or no permission to write there.
    """
    path = Path(path)
    temporary = temporary_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` and move it there once the block ends without an error.

    Where another process has put its folder there meanwhile, that one stays and this one is dropped: both are
    expected to hold the same. The folder is removed when the block raises.

    Args:
        path: the final folder; its parent is made where it is missing.

    Yields:
        The temporary folder to write into.

    Raises:
        OutputError: there is no room, or no permission to write there.
    """
    path = Path(path)
    temporary = temporary_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            try:
                os.rename(temporary, path)
            except OSError:
                if not path.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` to ``path`` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_jpeg(path: str | os.PathLike[str], image: Image.Image, quality: int) -> None:
    """Write ``image`` to ``path`` as JPEG of ``quality`` (1 to 95), in one step.

    It is encoded in memory: Pillow says nothing when a full disk cuts short the JPEG that it writes to a file.
    """
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    write_bytes(path, buffer.getvalue())


def as_text(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes of it that are not UTF-8 stand as ``%FC``.

    Args:
        name: as Python gives it, with such bytes as lone surrogates (PEP 383).
    """
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", name)


def stem_of(path: str | os.PathLike[str]) -> str:
    """A file's name without its ending, as text: what its id and its results are called."""
    return as_text(Path(path).stem)


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a CSV table that the program wrote; ids are as they stand there, also ``NA``, ``null`` and ``007``."""
    import pandas as pd

    return pd.read_csv(path, dtype={"id": str}, keep_default_na=False, na_values=[""])


def sha256(path: str | os.PathLike[str], read: Callable[[int], object] | None = None) -> str:
    """The SHA-256 of a file in hexadecimal digits.

    Args:
        path: the file.
        read: told the number of bytes after each block, for a progress bar.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            if read is not None:
                read(len(block))
    return digest.hexdigest()


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one sentence that what the block writes to ``path`` does not fit or may not be written.

    Raises:
        OutputError: the disk is full, a quota reached, the folder read-only, or part of the path a file.
    """
    try:
        yield
    except Exception as error:
        refused = refusal(error)
        if refused is None or isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{path} cannot be written ({refused.strerror}); make room there, or choose another folder."
        ) from error


def sweep(folder: str | os.PathLike[str], age: float = STALE_SECONDS) -> None:
    """Remove what writers that were killed left in ``folder``: temporary names that are a day old.

    Args:
        folder: where :func:`atomic_path` and :func:`atomic_folder` write; it may be missing.
        age: seconds since a temporary file was last written; 0 where no other writer can be at work there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    for path in folder.glob(".*"):
        try:
            stale = _TEMPORARY.fullmatch(path.name) and time.time() - _last_written(path) >= age
            if stale and path.is_dir():
                shutil.rmtree(path)
            elif stale:
                path.unlink()
        except OSError:
            continue  # another process sweeps too, or the folder is not ours to change


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}(\.\w+)?")


def _last_written(path: Path) -> float:
    inside = path.iterdir() if path.is_dir() else ()
    return max(entry.stat().st_mtime for entry in (path, *inside))

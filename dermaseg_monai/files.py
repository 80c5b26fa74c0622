"""Files and folders that are either whole or absent."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` and move it there once the block ends without an error.

    The temporary file keeps the suffix of ``path`` (writers choose their format by it), is flushed to disk
    before the rename, and is removed when the block raises, so that a reader never meets half a file.

    Args:
        path: the final file; its folder is made where it is missing.

    Yields:
        The temporary path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
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
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
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


def _temporary(path: Path) -> Path:
    # not by tempfile, which makes files private to their owner: results are shared like any other file
    return path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")

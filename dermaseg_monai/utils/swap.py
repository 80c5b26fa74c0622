"""Atomic replacement of a folder by another."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux: renameat2(2)
_RENAME_SWAP = 2  # macOS: renamex_np(2)


def put_in_place(new: Path, path: Path) -> Path | None:
    """Move the folder ``new`` to ``path``, where a process that is killed leaves either the old one or the new.

    Args:
        new: a whole folder on the same disk; afterwards it is the old folder, if there was one.
        path: where it goes.

    Returns:
        Where the old folder is now, or None if there was none.
    """
    if not path.exists():
        os.rename(new, path)
        return None
    if not _exchanged(new, path):
        # this file system has no exchange: between the two renames there is no folder
        aside = new.with_name(f"{new.name}-old")
        os.rename(path, aside)
        os.rename(new, path)
        return aside
    return new


def _exchanged(one: Path, other: Path) -> bool:
    names = os.fsencode(one), os.fsencode(other)
    system = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        return system.renamex_np(*names, _RENAME_SWAP) == 0
    if not hasattr(system, "renameat2"):
        return False
    return system.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0

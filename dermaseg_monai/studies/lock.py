"""Lock that the end of its holder releases, however that end comes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.2


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[int]:
    """Hold the lock file ``path``.

    The lock belongs to the open file, not to a process: a child that is given the descriptor holds it too, and it
    is free once the last of them is gone. The file itself stays, since removing it would let two processes lock
    two files of one name.

    Args:
        path: the file; made where it is missing.
        wait: seconds to wait for another holder.

    Yields:
        The descriptor, to be passed on to children.

    Raises:
        LockedError: it is held by another process still.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= deadline:
                    raise LockedError(str(path)) from None
                time.sleep(_POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def lock_of(run: Path) -> Path:
    """The lock file of a run's folder: beside it, as the folder is to hold nothing but the bundle."""
    return run.with_name(f".{run.name}.lock")


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock file ``path``."""
    if not path.is_file():
        return False
    try:
        with locked(path):
            return False
    except LockedError:
        return True

"""Processes of a test's own, which end with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch.multiprocessing as mp

SECONDS = 240


def run_together(function: Callable[[int, str], None], folder: Path, count: int = 2) -> None:
    """Call ``function(number, folder)`` in ``count`` processes; one that fails or takes too long ends the test."""
    # spawned, not forked: a fork takes over the locks of threads that it does not have
    context = mp.start_processes(
        function, args=(str(folder),), nprocs=count, join=False, start_method="spawn"
    )
    deadline = time.monotonic() + SECONDS
    try:
        while not context.join(1):
            assert time.monotonic() < deadline, f"{count} processes did not end within {SECONDS} s"
    finally:
        for process in context.processes:
            process.kill()

"""Running of a measurement in a fresh process, where nothing is left of those before it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, get_start_method, set_start_method
from typing import Any, TypeVar

Measured = TypeVar("Measured")


def in_fresh_process(measure: Callable[..., Measured], *arguments: Any) -> Measured:
    """What a function of a module gives in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn"), _start_workers, [get_start_method()]) as pool:
        return pool.submit(measure, *arguments).result()


def _start_workers(usual: str) -> None:
    # a DataLoader is to start its workers as it does elsewhere, not as this process was started
    set_start_method(usual, force=True)

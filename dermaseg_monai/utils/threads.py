"""Threads that work ahead of their consumer, within a limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def bounded_map(
    pool: Executor, function: Callable[[In], Out], inputs: Iterable[In], ahead: int
) -> Iterator[Out]:
    """Like ``pool.map``, in order, but with at most ``ahead`` results waiting, however long the input.

    Args:
        pool: where the work is done.
        function: applied to each input.
        inputs: consumed as results are taken.
        ahead: how many inputs are worked on or finished before their turn.

    Yields:
        The results, in the order of the inputs.
    """
    pending = iter(inputs)
    futures: deque[Future[Out]] = deque(pool.submit(function, entry) for entry in islice(pending, ahead))
    try:
        while futures:
            result = futures.popleft().result()
            futures.extend(pool.submit(function, entry) for entry in islice(pending, 1))
            yield result
    finally:
        for future in futures:
            future.cancel()

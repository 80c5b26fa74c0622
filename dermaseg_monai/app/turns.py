"""Queue for the processor: some photos at once, some more waiting, the rest refused."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")

_PHOTOS_PER_WORKER = 8  # so many that a batch is full while another is answered


class BusyError(Exception):
    """The queue is full.

    Args:
        seconds: after how many it is worth another try.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the queue is full; try again in {seconds} seconds.")
        self.seconds = seconds


class Turns:
    """A queue of bounded length before a bounded number of threads, for one event loop.

    Args:
        workers: jobs that run at once.
        places: requests that may be under way, those that run and those that wait.

    Attributes:
        photos: held by each photo from before it is decoded until it is answered, so that however many are sent, few
            are in memory.
    """

    def __init__(self, workers: int, places: int) -> None:
        self.workers = workers
        self.places = places
        self.taken = 0
        self.photos = asyncio.Semaphore(workers * _PHOTOS_PER_WORKER)
        self._mean_seconds = 1.0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="photo")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for one request, from before its body is read until it is answered.

        Raises:
            BusyError: there is none left; those who hold one are answered after about as long as others were.
        """
        if self.taken >= self.places:
            raise BusyError(min(max(math.ceil(self._mean_seconds), 1), 60))
        self.taken += 1
        start = time.monotonic()
        try:
            yield
        finally:
            self.taken -= 1
            self._mean_seconds += 0.1 * (time.monotonic() - start - self._mean_seconds)

    async def run(self, job: Callable[[], Result]) -> Result:
        """Run a job in a thread once there is one; a caller that no longer waits takes it out of the queue."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, job)

    def close(self) -> None:
        """Let the running jobs end, and start none of those that wait."""
        self._pool.shutdown(wait=False, cancel_futures=True)

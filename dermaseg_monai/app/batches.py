"""Batches of photos that wait for one network, from whichever requests they come."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import torch

from dermaseg_monai.app.turns import Turns

Maps = dict[str, torch.Tensor]


class Batches:
    """A network that takes the photos which wait for it together: eight at once cost little more than five one by one.

    Args:
        network: gives maps ``(B, ...)`` by name for photos ``(B, 3, h, w)``; several threads may call it.
        size: the most photos in a batch.
    """

    def __init__(self, network: Callable[[torch.Tensor], Maps], size: int) -> None:
        self.network = network
        self.size = size
        self._lock = threading.Lock()
        self._waiting: deque[tuple[torch.Tensor, Future[Maps]]] = deque()

    async def maps(self, image: torch.Tensor, turns: Turns) -> Maps:
        """The network's maps for one photo.

        Args:
            image: ``(3, h, w)``; all photos of one network have one size.
            turns: the queue before the processor. A caller that no longer waits takes the photo out of it.

        Returns:
            The maps by name, without the batch's dimension.
        """
        photo: Future[Maps] = Future()
        self._waiting.append((image, photo))
        # every photo brings a turn, so that none is left over; the first turn that comes takes others along
        _, maps = await asyncio.gather(turns.run(self._next), asyncio.wrap_future(photo))
        return maps

    def _next(self) -> None:
        """Run the network on those that wait the longest."""
        batch = self._taken()
        if not batch:
            return
        try:
            maps = self.network(torch.stack([image for image, _ in batch]))
        except Exception as error:
            for _, photo in batch:
                photo.set_exception(error)
        else:
            for index, (_, photo) in enumerate(batch):
                photo.set_result({name: values[index] for name, values in maps.items()})

    def _taken(self) -> list[tuple[torch.Tensor, Future[Maps]]]:
        batch: list[tuple[torch.Tensor, Future[Maps]]] = []
        with self._lock:
            while self._waiting and len(batch) < self.size:
                image, photo = self._waiting.popleft()
                if photo.set_running_or_notify_cancel():
                    batch.append((image, photo))
        return batch

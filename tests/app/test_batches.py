"""Photos of several requests go through a network together."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch

from dermaseg_monai.app.batches import Batches, Maps
from dermaseg_monai.app.turns import Turns

SIZES: list[int] = []


def network(images: torch.Tensor) -> Maps:
    """Notes how many photos there are; refuses negative ones."""
    SIZES.append(len(images))
    if (images < 0).any():
        raise ValueError("negative")
    return {"mean": images.mean(dim=(1, 2, 3)), "double": 2 * images}


def predicted(*values: float, size: int = 4, given_up: tuple[int, ...] = ()) -> list[Maps | BaseException]:
    """The maps of photos of one value that wait together before the only worker is free."""

    async def wait_together() -> list[Maps | BaseException]:
        turns, batches, free = Turns(workers=1, places=1), Batches(network, size), threading.Event()
        busy = asyncio.create_task(turns.run(free.wait))
        waiting = [
            asyncio.create_task(batches.maps(torch.full((3, 2, 2), float(value)), turns)) for value in values
        ]
        await asyncio.sleep(0.05)
        gone = [waiting[index] for index in given_up]
        for task in gone:
            task.cancel()
        # else the worker, once free, may be quicker than the cancellations
        await asyncio.gather(*gone, return_exceptions=True)
        free.set()
        await busy
        results = await asyncio.gather(*waiting, return_exceptions=True)
        turns.close()
        return results

    SIZES.clear()
    return asyncio.run(wait_together())


def test_those_that_wait_are_batched_and_each_gets_its_own() -> None:
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    results = predicted(*values)
    assert SIZES == [4, 2]
    for value, maps in zip(values, results, strict=True):
        assert isinstance(maps, dict)
        assert maps["mean"].item() == value
        assert torch.equal(maps["double"], torch.full((3, 2, 2), 2 * value))


def test_who_no_longer_waits_is_left_out() -> None:
    results = predicted(0, 1, 2, size=2, given_up=(0, 1))
    assert SIZES == [1]
    assert [isinstance(maps, asyncio.CancelledError) for maps in results] == [True, True, False]
    assert isinstance(results[2], dict)
    assert results[2]["mean"].item() == 2


def test_an_error_reaches_all_of_its_batch() -> None:
    first, second, third = predicted(1, -1, 3, size=2)
    assert isinstance(third, dict)
    assert third["mean"].item() == 3
    for error in (first, second):
        with pytest.raises(ValueError, match="negative"):
            raise error  # type: ignore[misc]

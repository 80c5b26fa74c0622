"""Work ahead in order, but not too far."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dermaseg_monai.utils.threads import bounded_map


def test_order_is_that_of_the_inputs() -> None:
    with ThreadPoolExecutor(4) as pool:
        slow_first = bounded_map(
            pool, lambda n: (time.sleep(0.02 if n == 0 else 0), n)[1], range(20), ahead=5
        )
        assert list(slow_first) == list(range(20))


@pytest.mark.parametrize("ahead", [1, 3])
def test_never_more_than_ahead_are_taken(ahead: int) -> None:
    taken = 0

    def inputs():
        nonlocal taken
        while True:  # an endless input: a greedy map would never return
            taken += 1
            yield taken

    with ThreadPoolExecutor(2) as pool:
        results = bounded_map(pool, lambda n: n, inputs(), ahead)
        for count in range(1, 8):
            assert next(results) == count
            assert taken <= count + ahead
        results.close()


def test_fewer_inputs_than_ahead() -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(bounded_map(pool, str, [1, 2], ahead=9)) == ["1", "2"]
        assert list(bounded_map(pool, str, [], ahead=9)) == []


def test_an_error_comes_in_its_turn_and_the_rest_is_cancelled() -> None:
    worked, gate = [], threading.Event()

    def work(number: int) -> int:
        worked.append(number)
        if number == 1:
            raise KeyError(number)
        if number == 2:
            gate.wait(5)
        return number

    with ThreadPoolExecutor(1) as pool:
        results = bounded_map(pool, work, range(100), ahead=50)
        assert next(results) == 0
        with pytest.raises(KeyError):
            next(results)
        gate.set()
    assert len(worked) < 10

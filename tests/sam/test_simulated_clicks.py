"""Simulated clicks: where an annotator would click next, and how many clicks are needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dermaseg_monai.sam.simulated_clicks import click_through, clicks_needed, corrective_click


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


@pytest.mark.parametrize(
    ("mask", "truth", "expected"),
    [
        (square(0, 0, 0), square(4, 6, 5), ((8.5, 6.5), 1)),  # the middle of the lesion
        (square(4, 6, 9), square(4, 6, 9) - square(4, 6, 3), ((7.5, 5.5), 0)),  # skin taken for lesion
        (square(0, 0, 3), square(0, 0, 3) | square(10, 20, 5), ((22.5, 12.5), 1)),
        (square(0, 0, 7), square(10, 20, 5), ((3.5, 3.5), 0)),  # the deeper of two errors
    ],
)
def test_the_next_click(mask: np.ndarray, truth: np.ndarray, expected: object) -> None:
    assert corrective_click(mask, truth) == expected


def test_no_click_where_nothing_is_wrong() -> None:
    assert corrective_click(square(4, 6, 5), square(4, 6, 5)) is None


def test_clicks_follow_the_answers() -> None:
    truth, part, asked = square(4, 6, 9), square(4, 6, 9), []
    part[4:13, 12:] = 0

    def answer(points: Sequence, labels: Sequence, mask: np.ndarray | None) -> np.ndarray:
        asked.append((list(points), list(labels), mask))
        return (part, truth)[len(points) - 1]

    masks = click_through(answer, truth, 4)
    assert [mask is truth for mask in masks] == [False, True, True, True]
    assert asked[0] == ([(10.5, 8.5)], [1], None)
    points, labels, before = asked[1]
    assert len(asked) == 2
    assert (len(points), labels) == (2, [1, 1])
    assert before is part


def test_number_of_clicks() -> None:
    scores = np.array([[0.5, 0.86, 0.84], [0.2, 0.3, 0.4], [0.85, 0.9, 0.95]])
    assert clicks_needed(scores, 0.85).tolist() == [2, 3, 1]
    assert clicks_needed(scores, 0.9).tolist() == [3, 3, 2]

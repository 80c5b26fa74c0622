"""Words of messages that several commands share."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 3


def first_of(names: Sequence[str]) -> str:
    """The first three of some names, and dots where there are more.

    Args:
        names: at least one.

    Example:
        >>> first_of(["a", "b", "c", "d"])
        'a, b, c ...'
    """
    return f"{', '.join(names[:_NAMED])}{' ...' * (len(names) > _NAMED)}"


def number_of(count: int, noun: str) -> str:
    """How many there are of something, with the noun's plural where it takes one.

    Args:
        count: 0 or more.
        noun: in the singular; its plural ends in s.

    Example:
        >>> number_of(1, "photo"), number_of(2, "photo")
        ('1 photo', '2 photos')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def counted(names: Sequence[str], noun: str) -> str:
    """The number of some things and the first of them.

    Args:
        names: at least one.
        noun: in the singular; its plural ends in s.

    Example:
        >>> counted(["notes.txt"], "file")
        '1 file (notes.txt)'
    """
    return f"{number_of(len(names), noun)} ({first_of(names)})"

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

"""Yes and no, however they are typed."""

from __future__ import annotations

import pytest

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.flags import is_on


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True),
        (False, False),
        (None, False),
        (0.0, False),
        ("false", False),
        ("No", False),
        ("true", True),
        ("ON", True),
        ("1", True),
    ],
)
def test_words_and_values(value: object, meaning: bool) -> None:
    assert is_on(value) is meaning


def test_anything_else_is_refused() -> None:
    with pytest.raises(InputError, match="was given as 'maybe'; write true or false"):
        is_on("maybe")

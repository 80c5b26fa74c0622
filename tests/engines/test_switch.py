"""Yes and no, however they are typed."""

from __future__ import annotations

import pytest

from dermaseg_monai.engines import switch
from dermaseg_monai.errors import InputError


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
    assert switch(value) is meaning


def test_anything_else_is_refused() -> None:
    with pytest.raises(InputError, match="was given as 'maybe'; write true or false"):
        switch("maybe")

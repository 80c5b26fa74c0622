"""Arguments of another type than a command takes."""

from __future__ import annotations

from typing import Any

import pytest

from dermaseg_monai.__main__ import Commands
from dermaseg_monai.arguments import typed
from dermaseg_monai.errors import InputError


@typed
def command(
    output: str, count: int = 3, share: float | None = None, names: str | tuple[str, ...] = (), **others: Any
) -> tuple[Any, ...]:
    return output, count, share, names, others


def test_what_fits_passes() -> None:
    assert command(2018) == ("2018", 3, None, (), {})
    assert command("a", 4, share=1, names=("b",), flips=True) == ("a", 4, 1.0, ("b",), {"flips": True})
    assert command("a", share=None)[2] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"output": True}, "--output is True; give a text"),
        ({"output": ("a", "b")}, "--output is .*; give a text"),
        ({"output": "a", "count": "x"}, "--count is 'x'; give a whole number"),
        ({"output": "a", "count": 1.5}, "--count is 1.5; give a whole number"),
        ({"output": "a", "share": "half"}, "--share is 'half'; give a number"),
    ],
)
def test_what_does_not_costs_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        command(**arguments)


def test_every_command_is_checked() -> None:
    with pytest.raises(InputError, match="--count is 'many'"):
        Commands().phantom("out", "many")
    with pytest.raises(InputError, match="--epochs is 'x'"):
        Commands.study.run("loss", epochs="x", dry_run=True)
    with pytest.raises(InputError, match="--port is 'x'"):
        Commands().app(port="x")

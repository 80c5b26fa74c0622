"""Arguments of commands: what Fire reads as another type than the command takes costs one sentence."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from dermaseg_monai.errors import InputError

_NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD
_WORDS = {int: "a whole number", float: "a number", str: "a text"}


def typed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Check the arguments of ``command`` that are a number or a text by their annotations.

    Fire makes ``2018`` a number, whatever the argument is: a text gets it back as text.

    Args:
        command: with annotations; other kinds than ``int``, ``float``, ``str`` and one of these or None pass.

    Returns:
        The command; it raises an :class:`InputError` that names the argument.
    """
    signature = inspect.signature(command)
    hints = get_type_hints(command)

    @functools.wraps(command)
    def checked(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options)
        for name, value in bound.arguments.items():
            if signature.parameters[name].kind in (_NAMED, inspect.Parameter.KEYWORD_ONLY):
                bound.arguments[name] = _value(name, value, hints.get(name))
        return command(*bound.args, **bound.kwargs)

    return checked


def _value(name: str, value: Any, hint: Any) -> Any:
    kinds = get_args(hint) or (hint,)
    kind = next((kind for kind in _WORDS if kind in kinds), None)
    if kind is None or set(kinds) - {kind, type(None)} or (value is None and type(None) in kinds):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is str and number:
        return str(value)
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    if kind is float and number:
        return float(value)
    raise InputError(f"--{name} is {value!r}; give {_WORDS[kind]}.")

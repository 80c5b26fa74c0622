"""Arguments of commands: texts as they were typed, and one sentence for what a command does not take."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from fire.decorators import SetParseFn
from fire.parser import DefaultParseValue

from dermaseg_monai.bundle.settings import checked, from_command_line
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.flags import SWITCH_WORDS, is_on

_NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class Typed(str):
    """What was typed for an argument, before anything is made of it."""


def typed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Check the arguments of ``command`` that are a number, a text or a switch by their annotations.

    Fire would make a number of ``2024_03_04``, whatever the argument is: a text stays as it was typed, but for ``~``
    at its start, which is the home folder. Further options are ids of a config, and are read and checked as such.

    Args:
        command: with annotations; other kinds than ``bool``, ``int``, ``float``, ``str`` and one of these or None pass.

    Returns:
        The command; it raises an :class:`InputError` that names the argument.
    """
    signature = inspect.signature(command)
    hints = get_type_hints(command)

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options)
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            if kind in _NAMED:
                bound.arguments[name] = _value(name, value, hints.get(name))
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_plain(entry) for entry in value)
            else:
                bound.arguments[name] = {key: _setting(key, entry) for key, entry in value.items()}
        return command(*bound.args, **bound.kwargs)

    return SetParseFn(Typed)(call)


def _value(name: str, value: Any, hint: Any) -> Any:
    kinds = set(get_args(hint) or (hint,)) - {type(None)}
    kind = next((kind for kind in _WORDS if kinds == {kind}), None)
    if isinstance(value, Typed):
        value = _read(value, kinds)
    if kind is None or (value is None and type(None) in get_args(hint)):
        return value
    if kind is bool and str(value).strip().lower() in SWITCH_WORDS:
        return is_on(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is str and number:
        return str(value)
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    if kind is float and number:
        return float(value)
    raise InputError(f"--{name} is {value!r}; give {_WORDS[kind]}.")


def _read(text: Typed, kinds: set[Any]) -> Any:
    value = DefaultParseValue(text)
    if str not in kinds or value is None or isinstance(value, bool):  # True: an option without a value
        return value
    number = isinstance(value, int | float)
    other = kinds != {str} and (not number or (type(value) in kinds and str(value) == text))
    return value if other else _plain(text)


def _setting(name: str, value: Any) -> Any:
    return checked(name, from_command_line(name, str(value))) if isinstance(value, Typed) else value


def _plain(value: Any) -> Any:
    return os.path.expanduser(str(value)) if isinstance(value, Typed) else value

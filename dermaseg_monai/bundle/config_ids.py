"""Access to values of a nested config by their MONAI ids."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dermaseg_monai.utils.errors import InputError

SEPARATOR = "#"


def entries(config: Any) -> Iterator[tuple[str, Any]]:
    """The keys or indices of a dictionary or list, as text, with what is there; nothing for any other value."""
    pairs = (
        config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    )
    for key, value in pairs:
        yield str(key), value


def all_ids(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield the id of everything in ``config``: ``train``, ``train#trainer``, ``train#handlers#0`` ..."""
    for key, value in entries(config):
        yield f"{prefix}{key}"
        yield from all_ids(value, f"{prefix}{key}{SEPARATOR}")


def nearest(name: str, known: list[str]) -> str:
    """The entry of ``known`` that ``name`` was most likely meant to be, quoted and led in, or nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def nearest_id(config: Mapping[str, Any], name: str) -> str:
    """As :func:`nearest`, among a config's ids; those of its top come first for one that has no ``#``."""
    at_top = "" if SEPARATOR in name else nearest(name, list(config))
    return at_top or nearest(name, list(all_ids(config)))


def unread_ids(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[str]:
    """Those overrides that would change nothing.

    Args:
        config: as MONAI merges it from its files.
        overrides: values by id.

    Returns:
        Ids that the config does not have, that nothing in it or in the other overrides refers to, and that
        are no argument of a component (``optimizer#betas``), whose own signature refuses what it does not know.
    """
    text = json.dumps([config, overrides], default=str)
    referred = set(re.findall(r"[@%](\w+(?:#\w+)*)", text))
    return [
        name
        for name in overrides
        if not _exists(config, name, unpacked=set(re.findall(r"\*\*@(\w+(?:#\w+)*)", text)))
        and not any(_within(name, other) or _within(other, name) for other in referred)
    ]


def _exists(config: Mapping[str, Any], identifier: str, unpacked: Iterable[str]) -> bool:
    try:
        target, last = _parent(config, identifier)
    except InputError:
        return False
    if isinstance(last, int) or last in target or "_target_" in target:
        return True
    return identifier.rpartition(SEPARATOR)[0] in unpacked


def _within(identifier: str, outer: str) -> bool:
    return identifier == outer or identifier.startswith(f"{outer}{SEPARATOR}")


def set_id(config: dict[str, Any], identifier: str, value: Any) -> None:
    """Set what ``identifier`` names.

    Args:
        config: changed in place.
        identifier: keys and list indices joined by ``#``; in place of an index, the class of the component
            that stands there (``train#handlers#TrainingLog``). All must exist, but for the last key of a
            component (a dictionary with ``_target_``), for an argument that the base leaves at its default,
            and a key of the config's top.
        value: JSON data.

    Raises:
        InputError: the config has no such id; the nearest one is named.
    """
    target, last = _parent(config, identifier)
    if isinstance(last, str) and not (last in target or "_target_" in target or target is config):
        raise _unknown(config, identifier)
    target[last] = value


def apply_overlay(config: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    """Apply a list of named differences, in their order.

    Args:
        config: changed in place.
        overlay: values by id, as :func:`set_id` takes them; ``~id`` removes what is there, ``+id`` adds
            entries to the end of the list or dictionary there, ``<id`` and ``>id`` put a component before and behind
            the one there.

    Raises:
        InputError: the config has no such id; the nearest one is named.
    """
    for identifier, value in overlay.items():
        name = identifier.lstrip("~+<>")
        if name == identifier:
            set_id(config, name, value)
            continue
        target, last = _parent(config, name)
        try:
            if identifier[0] == "~":
                del target[last]
            elif identifier[0] == "+":
                present = target[last]
                present.update(value) if isinstance(present, dict) else present.extend(value)
            else:
                target.insert(last + 1 if isinstance(last, int) and identifier[0] == ">" else last, value)
        except (KeyError, IndexError, AttributeError):
            raise _unknown(config, name) from None
        except (TypeError, ValueError):
            raise InputError(f"'{identifier}' cannot be {json.dumps(value)}; see what is there.") from None


def _parent(config: Mapping[str, Any], identifier: str) -> tuple[Any, str | int]:
    """The dictionary or list that holds what ``identifier`` names, and its key or index there."""
    *parents, last = _keys(config, identifier)
    target: Any = config
    try:
        for key in parents:
            target = target[_index(target, key)]
        return target, _index(target, last)
    except (KeyError, ValueError, IndexError, TypeError):
        raise _unknown(config, identifier) from None


def _keys(config: Mapping[str, Any], identifier: str) -> list[str]:
    """Split an identifier; what is one key of an overlay config (``validate#handlers``) stays whole."""
    parts = identifier.split(SEPARATOR)
    for length in range(len(parts), 1, -1):
        whole = SEPARATOR.join(parts[:length])
        if whole in config:
            return [whole, *parts[length:]]
    return parts


def _index(target: Any, key: str) -> str | int:
    if not isinstance(target, (list, dict)):
        raise KeyError(key)
    if isinstance(target, dict):
        return key
    if key.isdecimal():
        return range(len(target))[int(key)]
    classes = [
        str(entry.get("_target_")).rsplit(".", 1)[-1] if isinstance(entry, dict) else None for entry in target
    ]
    return classes.index(key)


def _unknown(config: Mapping[str, Any], identifier: str) -> InputError:
    return InputError(
        f"the config has no id '{identifier}'{nearest(identifier, list(all_ids(config))) or '.'}"
    )

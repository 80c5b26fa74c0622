"""Parsing of boolean settings."""

from __future__ import annotations

from dermaseg_monai.utils.errors import InputError

SWITCH_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
"""What people type for on and off, in small letters."""


def is_on(value: object) -> bool:
    """Read a setting that is on or off.

    MONAI's command line takes ``--fill_holes False`` for the value and ``--fill_holes false`` for a word, which
    would count as true.

    Args:
        value: a bool, a number, or a word such as true, false, yes, no, on, off.

    Raises:
        InputError: it is none of these.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return bool(value)
    word = str(value).strip().lower()
    if word not in SWITCH_WORDS:
        raise InputError(f"a setting that is on or off was given as '{value}'; write true or false.")
    return SWITCH_WORDS[word]

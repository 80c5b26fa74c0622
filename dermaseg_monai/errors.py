"""The one error a user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one sentence that says what was wrong, where, and what to do. The command line prints it
    alone, without a traceback.
    """


def find_input_error(error: BaseException | None) -> InputError | None:
    """The :class:`InputError` behind ``error``, however many others were raised from it, or None."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error

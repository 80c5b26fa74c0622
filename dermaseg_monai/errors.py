"""The one error a user is meant to read."""

from __future__ import annotations

import errno

STOPPED = "stopped; what was finished is kept."
"""What a command says that Ctrl-C ended."""

LEFT_OUT = 3
"""Exit code of a command that finished, but had to leave something out that it names."""

_REFUSALS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What a file system answers that is full, read-only or not ours, or where a path leads through a file."""


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one sentence that says what was wrong, where, and what to do. The command line prints it
    alone, without a traceback.
    """


class OutputError(InputError):
    """What a run has to write cannot be written; no other input would change that."""


def find_input_error(error: BaseException | None) -> InputError | None:
    """The :class:`InputError` behind ``error``, however many others were raised from it, or None."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


def refusal(error: BaseException | None) -> OSError | None:
    """The refusal of a file system behind ``error``, however many others were raised from it, or None."""
    while error is not None and not (isinstance(error, OSError) and error.errno in _REFUSALS):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


def explained(error: BaseException) -> str | None:
    """The sentence that ends a command because of ``error``, or None where it is a bug.

    Args:
        error: what nothing caught: an :class:`InputError`, or a file system that refused (full, read-only, no
            permission), behind whatever was raised from it.
    """
    found = find_input_error(error)
    if found is not None:
        return str(found)
    refused = refusal(error)
    if refused is None:
        return None
    place = (
        f"{refused.filename} cannot be read or written" if refused.filename else "a file cannot be written"
    )
    return f"{place} ({refused.strerror}); make room or give permission there, or choose another folder."

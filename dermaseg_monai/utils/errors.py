"""The one error a user is meant to read."""

from __future__ import annotations

import errno
from collections.abc import Callable

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

_NO_DEVICE = (
    "Found no NVIDIA driver",
    "Invalid device id",
    "No CUDA GPUs are available",
    "Torch not compiled with",
    "device string",
    "invalid device ordinal",
    "is not linked with support for",
    "No module named 'torch.",
    "unsupported autocast device_type",
    "meta tensor",
)
"""What PyTorch answers where a device is asked for that does not exist, or not here, or cannot compute."""


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one sentence that says what was wrong, where, and what to do. The command line prints it
    alone, without a traceback.
    """


class OutputError(InputError):
    """What a run has to write cannot be written; no other input would change that."""


def find_input_error(error: BaseException | None) -> InputError | None:
    """The :class:`InputError` behind ``error``, however many others were raised from it, or None."""
    cause = _behind(error, lambda candidate: isinstance(candidate, InputError))
    return cause if isinstance(cause, InputError) else None


def refusal(error: BaseException | None) -> OSError | None:
    """The refusal of a file system behind ``error``, however many others were raised from it, or None."""
    cause = _behind(error, lambda candidate: isinstance(candidate, OSError) and candidate.errno in _REFUSALS)
    return cause if isinstance(cause, OSError) else None


def explained(error: BaseException) -> str | None:
    """The sentence that ends a command because of ``error``, or None where it is a bug.

    Args:
        error: what nothing caught: an :class:`InputError`, a file system that refused (full, read-only, no
            permission), or PyTorch that has no such device, behind whatever was raised from it.
    """
    mistake = find_input_error(error)
    if mistake is not None:
        return str(mistake)
    refused = refusal(error)
    if refused is not None:
        what = (
            f"{refused.filename} cannot be read or written"
            if refused.filename
            else "a file cannot be written"
        )
        return f"{what} ({refused.strerror}); make room or give permission there, or choose another folder."
    lacking = _behind(error, _lacks_device)
    if lacking is not None:
        reason = str(lacking).splitlines()[0].split(". ")[0]
        return f"there is no such device on this machine ({reason}); give another --device, such as cpu."
    return None


def _lacks_device(error: BaseException) -> bool:
    # a process that has no such device is told so by RuntimeError, one built without its kind by AssertionError, one
    # that needs a package for it by ImportError
    kind_fits = isinstance(error, RuntimeError | AssertionError | ImportError)
    return kind_fits and any(sign in str(error) for sign in _NO_DEVICE)


def _behind(error: BaseException | None, wanted: Callable[[BaseException], bool]) -> BaseException | None:
    while error is not None and not wanted(error):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error

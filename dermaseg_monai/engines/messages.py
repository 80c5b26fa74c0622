"""Errors that a person can act on, where MONAI's command line would print a traceback."""

from __future__ import annotations

import sys
from types import TracebackType

from dermaseg_monai.errors import find_input_error


def print_input_errors() -> None:
    """From now on an uncaught :class:`InputError` ends the process with its one sentence and exit code 1."""
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        found = find_input_error(error)
        if found is None:
            usual(kind, error, traceback)
        else:
            print(f"error: {found}", file=sys.stderr)

    sys.excepthook = hook

"""Behaviour of a bundle under ``python -m monai.bundle run``: its overrides, and its errors in one sentence."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from dermaseg_monai.bundle.overrides import take_as_typed, under_bundle_run, warn_unknown_overrides
from dermaseg_monai.utils.errors import LEFT_OUT, STOPPED, explained


def install_error_messages() -> None:
    """From now on what the user can mend, and Ctrl-C, end the process with one sentence.

    That is an uncaught :class:`InputError`, a full or read-only disk, or a device that is not there, with exit
    code 1; after Ctrl-C the process ends as an interrupted one does.
    """
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        message = explained(error)
        if isinstance(error, KeyboardInterrupt):
            print(STOPPED, file=sys.stderr)
        elif message is None:
            usual(kind, error, traceback)
        else:
            print(f"error: {message}", file=sys.stderr)

    sys.excepthook = hook


def set_up() -> None:
    """What every config of a bundle does first: errors in one sentence, and overrides taken as they were typed.

    Raises:
        InputError: an id takes no such value.
    """
    install_error_messages()
    warn_unknown_overrides()
    take_as_typed()


def exit_on_left_out(loader: Any) -> None:
    """End ``python -m monai.bundle run`` with exit code 3 where photos were left out; elsewhere do nothing.

    Args:
        loader: a :class:`dermaseg_monai.data.photos.PhotoLoader` whose photos have been gone through.
    """
    if loader.failures and under_bundle_run():
        sys.exit(LEFT_OUT)

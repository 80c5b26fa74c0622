"""Running a command: what ends it early is said in one sentence."""

from __future__ import annotations

import sys
from typing import Any

import fire

from dermaseg_monai.utils.errors import STOPPED, explained


def run_command(component: Any, name: str) -> None:
    """Run what the command line asks of ``component``, by Python Fire.

    What the user got wrong is said in one sentence, with exit code 1; Ctrl-C ends it with 130.

    Args:
        component: a function, or an object whose methods are the subcommands (of a class, --help leaves out the
            methods).
        name: of the command, as its help shows it.
    """
    try:
        fire.Fire(component, name=name)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = explained(error)
        if message is None:
            raise
        sys.exit(f"error: {message}")

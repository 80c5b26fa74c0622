"""Child process that is killed with its parent, even by SIGKILL.

``python -m dermaseg_monai.studies.child_process MODULE ARGUMENT ...`` is ``python -m MODULE ARGUMENT ...``, watching
its standard input: when the other end closes, which the system does for a process that is gone, it kills its own
process group. Otherwise a killed batch would leave a training behind that the next batch meets.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Run the module that the first argument names, and watch standard input beside it."""
    threading.Thread(target=_watch, daemon=True).start()
    module, *sys.argv[1:] = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()

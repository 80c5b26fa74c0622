"""A node that can be killed at any moment and started again at once.

The program loads everything once and waits for orders on its standard input, a word a line: ``start`` forks a process
that serves, ``kill`` kills it without a warning (SIGKILL), ``end`` lets it finish (SIGTERM). Each is answered.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class NodeProgram:
    """The program as its user sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _order(self, word: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == f"{word}\n"

    def start(self) -> None:
        self._order("start")

    def kill(self) -> None:
        self._order("kill")

    def end(self) -> None:
        self._order("end")


@contextmanager
def node_program(settings: Mapping[str, Any], log: Any) -> Iterator[NodeProgram]:
    """Run the program; ``settings`` are the arguments of :func:`run_node`, ``log`` an open file."""
    command = [sys.executable, "-m", "tests.dicom.node_program", json.dumps(settings)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    program = NodeProgram(process)
    try:
        yield program
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


def main() -> None:
    settings = json.loads(sys.argv[1])
    from dermaseg_monai.dicom.node import run_node

    node = 0
    for line in sys.stdin:
        word = line.strip()
        if word == "start":
            node = os.fork()
            if not node:
                os.dup2(2, 1)  # what is said goes to the log, answers alone to the pipe
                logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
                try:
                    run_node(**settings)
                finally:
                    os._exit(0)
        else:
            os.kill(node, signal.SIGKILL if word == "kill" else signal.SIGTERM)
            os.waitpid(node, 0)
            node = 0
        print(word, flush=True)
    if node:
        os.kill(node, signal.SIGKILL)
        os.waitpid(node, 0)


if __name__ == "__main__":
    main()

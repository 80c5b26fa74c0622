"""The real page, served by the real command in a process of its own."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 180

# runs the command, and tells of every address outside this computer that the process connects to
_COMMAND = """
import ipaddress, sys

def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            print("CONNECTED", host, flush=True)
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "localhost", "127.0.0.1", b"127.0.0.1"):
        print("LOOKED UP", arguments[0], flush=True)

sys.addaudithook(watch)
from dermaseg_monai.cli.commands import main
sys.argv = ["dermaseg", *sys.argv[1:]]
main()
"""


@dataclass
class Served:
    """A page that is being served.

    Attributes:
        url: of the page.
        folder: its temporary files are below this one.
        output: the lines it has printed so far.
        process: what serves it.
    """

    url: str
    folder: Path
    output: list[str]
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.terminate()
        self.process.wait(SECONDS)


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    """Serve the page on a free port until the block ends.

    Args:
        folder: for its temporary files.
        *options: of ``dermaseg app``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "app", "--port", "0", *options],
        env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: list[str] = []
    addresses: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if match := re.search(r"DermaSeg is at (http://\S+)", line):
                addresses.put(match[1])
        addresses.put("")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        url = addresses.get(timeout=SECONDS)
        assert url, "".join(output)
        yield Served(url, folder, output, process)
    finally:
        process.kill()
        process.wait(SECONDS)
        reader.join(SECONDS)

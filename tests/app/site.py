"""The page as a static folder, on a web server of Python's, and packages of npm's for tests."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

AXE = "axe-core@4.14.1"


class _Quiet(SimpleHTTPRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):  # a page that was left
            super().handle()

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    """Serve a folder until the block ends; gives its address, without a slash at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def npm_archive(package: str, folder: Path) -> Path:
    """The archive of an npm package; the test is skipped where npm or its registry cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", package, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    archives = sorted(folder.glob("*.tgz"))
    if run.returncode or not archives:
        pytest.skip(f"npm could not fetch {package}: {run.stderr.strip()[-200:]}")
    return archives[-1]


def axe_source(folder: Path) -> str:
    """The script of axe-core, which finds barriers in pages."""
    with tarfile.open(npm_archive(AXE, folder)) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()

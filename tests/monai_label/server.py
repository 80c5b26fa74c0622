"""Starting, asking and ending a MONAI Label server."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image

START, ANSWER, TASK = 300, 120, 300
"""Longest waits, in seconds: for the server's start, for an answer, for a task beside the server."""


class Server:
    """A server on a free port of this machine, in a process group of its own.

    Args:
        python: the interpreter of MONAI Label's environment.
        studies: folder of photos.
        bundles: folders of the bundles to serve.
        app: folder of the server.
    """

    def __init__(self, python: str, studies: Path, bundles: Sequence[Path], app: Path) -> None:
        self.studies, self.app = studies, app
        self.log = app.with_suffix(".log")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    *(python, "-m", "dermaseg_monai.monai_label", str(studies), *map(str, bundles)),
                    *("--app", str(app), "--port", str(port)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MONAI_LABEL_AUTO_UPDATE_SCORING": "false"},
            )

    def wait_for_start(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the server ended:\n{self.log_end()}"
            try:
                requests.get(f"{self.address}/info/", timeout=ANSWER)
                return
            except requests.ConnectionError:
                time.sleep(0.2)
        raise AssertionError(f"no answer within {START} s:\n{self.log_end()}")

    def kill(self) -> None:
        """End the server and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)

    def log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-80:])

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> requests.Response:
        """One request, whose answer must have ``status``."""
        answer = requests.request(method, self.address + path, timeout=ANSWER, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def mask(self, model: str, image: str = "", **options: Any) -> np.ndarray:
        """The mask (H, W) that a model gives for a stored or, with ``files``, an uploaded photo."""
        query = f"?image={image}&output=image" if image else "?output=image"
        answer = self.ask("POST", f"/infer/{model}{query}", **options)
        assert answer.headers["content-type"] == "image/png"
        return np.array(Image.open(io.BytesIO(answer.content)))

    def put_label(self, image: str, mask: np.ndarray) -> None:
        """Save a final label as a client does."""
        stream = io.BytesIO()
        Image.fromarray(mask).save(stream, format="PNG")
        files = {"label": (f"{image}.png", stream.getvalue())}
        self.ask("PUT", f"/datastore/label?image={image}", files=files)

    def train(self, model: str, **settings: Any) -> dict[str, Any]:
        """Train beside the server, as clients do, and give the task when it has ended."""
        self.ask("POST", f"/train/{model}", json=settings)
        end = time.monotonic() + TASK
        while time.monotonic() < end:
            task = self.ask("GET", "/train/").json()
            if task["status"] not in ("SUBMITTED", "RUNNING"):
                return task
            time.sleep(0.5)
        raise AssertionError(f"not trained within {TASK} s: {task['details']}")


@contextmanager
def serving(python: str, studies: Path, bundles: Sequence[Path], app: Path) -> Iterator[Server]:
    """A server that answers; it is killed at the end, come what may."""
    server = Server(python, studies, bundles, app)
    try:
        server.wait_for_start()
        yield server
    finally:
        server.kill()

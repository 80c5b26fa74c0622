"""A stand-in for the Hugging Face hub on this machine: as much of its protocol as a push of a bundle speaks."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(ThreadingHTTPServer):
    """Keeps what is pushed.

    Attributes:
        repositories: by id, whether they were asked for as private.
        files: contents by path, of all repositories together.
        tags: names of tags.
        tokens: what requests were authorised with.
        requests: method and path of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.tags: list[str] = []
        self.tokens: set[str | None] = set()
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        hub = self.server
        hub.requests.append(f"POST {self.path}")
        hub.tokens.add(self.headers.get("Authorization"))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match self.path.strip("/").split("/"):
            case ["api", "repos", "create"]:
                wanted = json.loads(body)
                owner = wanted.get("organization") or "someone"
                # by one word or the other, depending on the client's version
                private = wanted.get("private") or wanted.get("visibility") == "private"
                hub.repositories[f"{owner}/{wanted['name']}"] = private
                self._answer({"url": f"{hub.url}/{owner}/{wanted['name']}"})
            case ["api", "validate-yaml"]:
                self._answer({"errors": [], "warnings": []})
            case ["api", "models", _, _, "preupload", "main"]:
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
                self._answer({"files": files})
            case ["api", "models", owner, name, "commit", "main"]:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                url = f"{hub.url}/{owner}/{name}/commit/{'0' * 40}"
                self._answer({"commitUrl": url, "commitOid": "0" * 40, "hookOutput": ""})
            case ["api", "models", _, _, "tag", _]:
                hub.tags.append(json.loads(body)["tag"])
                self._answer({})
            case _:
                self._answer({"error": "not part of the stand-in"}, status=501)

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def do_GET(self) -> None:
        self.server.requests.append(f"GET {self.path}")
        self._answer({"error": "not part of the stand-in"}, status=501)

    def _answer(self, content: Any, status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A stand-in that answers until the block ends."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join(timeout=30)

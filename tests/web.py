"""A web server for tests of downloads, on this machine, that can misbehave."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``files``; the other attributes say how it misbehaves."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.ranges = True
        self.break_after: list[int] = []  # bytes sent by each of the next answers before the line is cut
        self.statuses: list[int] = []  # answers of the next requests
        self.lie_about_start = False
        self.announce = True  # whether answers say how long they are
        self.pause_after = 0  # bytes of a longer answer after which it stops, until ``resumed`` is set
        self.paused, self.resumed = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        name = self.path.rsplit("/", 1)[-1]
        wanted = self.headers.get("Range")
        server.requests.append((name, wanted))
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        if name not in server.files or not self.path.startswith("/files/"):
            self.send_error(404)
            return
        data = server.files[name]
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if wanted and server.ranges and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if wanted and server.ranges:
            start = 0 if server.lie_about_start else start
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        body = data[start:]
        if server.announce:
            self.send_header("Content-Length", str(len(body)))
        self.close_connection = not server.announce
        self.end_headers()
        if server.break_after:
            self.wfile.write(body[: server.break_after.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        with suppress(ConnectionError):  # the other side may have had enough
            if 0 < server.pause_after < len(body):
                self.wfile.write(body[: server.pause_after])
                self.wfile.flush()
                server.paused.set()
                server.resumed.wait(timeout=120)
                body = body[server.pause_after :]
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

    def finish(self) -> None:
        with suppress(OSError, ValueError):  # the connection is cut already
            super().finish()


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that answers until the block ends."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(timeout=30)

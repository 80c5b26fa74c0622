"""What the real server makes of each bad file, of big ones, of an upload that breaks off, and of a full disk."""

from __future__ import annotations

import html
import io
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.app.server import SECONDS, Served, served
from tests.data.layout import encode
from tests.reliability.bad_files import BAD, GOOD, SIZE, Maker, colours
from tests.tiny_bundle import write_tiny_bundle

pytest.importorskip("gradio", reason="gradio is not installed")
httpx: Any = pytest.importorskip("httpx", reason="gradio is not installed")

LIMIT = 64 * 2**20
"""Bytes of the largest file that is taken."""

NOTHING_TO_READ = ("link to nowhere.png", "link to itself.png", "pipe.png")
"""Bad files that nobody can upload."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page with a tiny, untrained bundle."""
    folder = tmp_path_factory.mktemp("app")
    bundle = write_tiny_bundle(folder / "lesion_tiny", "lesion_unet")
    with served(folder / "temporary", "--bundle", str(bundle)) as running:
        yield running


@dataclass
class Visitor:
    """A page of its own, by HTTP alone."""

    url: str
    session: str = field(default_factory=lambda: os.urandom(8).hex())

    def upload(self, name: str, content: bytes) -> Any:
        address = f"{self.url}/gradio_api/upload"
        return httpx.post(address, files={"files": (name, content)}, timeout=SECONDS)

    def ask(self, path: str) -> tuple[str, str]:
        """Have a file of the server's segmented: "complete" and the results as HTML, or "error" and what was said."""
        return self.call(
            "segment", [{"path": path, "meta": {"_type": "gradio.FileData"}}], "lesion_tiny", "none"
        )

    def call(self, name: str, *values: Any) -> tuple[str, str]:
        """Have something done that gives results; see :meth:`ask`."""
        body = {"data": values, "session_hash": self.session}
        address = f"{self.url}/gradio_api/call/{name}"
        event = httpx.post(address, json=body, timeout=SECONDS).json()["event_id"]
        stream = httpx.get(f"{address}/{event}", timeout=SECONDS).text
        ended, data = re.findall(r"event: (\w+)\ndata: (.+)\n", stream)[-1]
        return ended, json.loads(data)["error"] if ended == "error" else json.loads(data)[1]

    def drop(self, name: str, content: bytes) -> str:
        """Upload a file and have it segmented; gives the results as HTML."""
        answer = self.upload(name, content)
        assert answer.status_code == 200, answer.text
        ended, results = self.ask(answer.json()[0])
        assert ended == "complete", results
        assert 'data-state="done"' in results
        return results

    def mask(self, name: str, results: str) -> Image.Image:
        """The mask of a photo, as the results show it."""
        (address,) = re.findall(rf'src="([^"]+)" alt="Mask of {re.escape(name)}:', results)
        return Image.open(io.BytesIO(httpx.get(f"{self.url}/{address}", timeout=SECONDS).content))

    def goes_on(self) -> None:
        """Make sure that a photo is segmented like any other."""
        results = self.drop("good after bad.jpg", encode(colours(), "JPEG"))
        assert self.mask("good after bad.jpg", results).size == SIZE


def content_of(make: Maker, folder: Path) -> bytes:
    (folder / "made").mkdir()
    make(folder / "made" / "photo")
    return (folder / "made" / "photo").read_bytes()


def refused(results: str) -> dict[str, str]:
    """Reasons by name."""
    rows = re.findall(r"<li><strong>(.*?)</strong>: (.*?)</li>", results)
    return {html.unescape(name): html.unescape(reason) for name, reason in rows}


def kept(app: Served) -> set[Path]:
    """The server's temporary files that hold anything; Gradio leaves empty ones."""
    return {path for path in app.folder.rglob("*") if path.is_file() and path.stat().st_size}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_segmented(name: str, app: Served, tmp_path: Path) -> None:
    visitor = Visitor(app.url)
    results = visitor.drop(name, content_of(GOOD[name], tmp_path))
    assert not refused(results)
    assert visitor.mask(name, results).size == SIZE


def test_one_pixel_is_segmented(app: Served) -> None:
    visitor = Visitor(app.url)
    results = visitor.drop("pixel.png", encode(colours(size=(1, 1)), "PNG"))
    assert not refused(results)
    assert visitor.mask("pixel.png", results).size == (1, 1)


@pytest.mark.parametrize("name", [name for name in BAD if name not in NOTHING_TO_READ])
def test_a_bad_file_is_named_with_the_reason(name: str, app: Served, tmp_path: Path) -> None:
    make, said = BAD[name]
    visitor, before, lines = Visitor(app.url), kept(app), len(app.output)
    told = refused(visitor.drop(name, content_of(make, tmp_path)))
    assert list(told) == [name]
    assert said in told[name]
    assert told[name].endswith(".")
    assert not re.search(r"[/\n]", told[name])  # one sentence, no path of the server's
    assert kept(app) == before
    visitor.goes_on()
    assert "Traceback" not in "".join(app.output[lines:])


@pytest.mark.parametrize("name", [*NOTHING_TO_READ, "plain.jpg"])
def test_a_path_that_was_not_uploaded_is_refused(name: str, app: Served, tmp_path: Path) -> None:
    make = GOOD[name] if name in GOOD else BAD[name][0]
    make(tmp_path / name)
    visitor, before = Visitor(app.url), kept(app)
    ended, said = visitor.ask(str(tmp_path / name))
    assert ended == "error"
    assert "\n" not in said
    assert os.path.lexists(tmp_path / name)
    assert kept(app) == before
    visitor.goes_on()


@pytest.mark.parametrize("host", ["127.0.0.1:1", "photos.example", "93.184.215.14"])
def test_an_address_is_neither_asked_nor_looked_up(host: str, app: Served) -> None:
    visitor, before, lines = Visitor(app.url), kept(app), len(app.output)
    address = f"http://{host}/photo.jpg"
    assert visitor.ask(address) == (
        "error",
        "A web address is not fetched; download the photo and upload it.",
    )
    assert httpx.get(f"{app.url}/gradio_api/file={address}", timeout=SECONDS).status_code == 403
    assert kept(app) == before
    visitor.goes_on()
    assert not [
        line for line in app.output[lines:] if line.startswith(("CONNECTED", "LOOKED UP", "Traceback"))
    ]


def test_64_mb_of_noise(app: Served) -> None:
    visitor, before = Visitor(app.url), kept(app)
    told = refused(visitor.drop("noise.jpg", os.urandom(64_000_000)))
    assert told == {"noise.jpg": "this is not an image of a known format; replace it or leave it out."}
    assert kept(app) == before
    visitor.goes_on()


def test_a_photo_as_big_as_may_be(app: Served) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (4_700, 4_700, 3), dtype=np.uint8)
    content = encode(Image.fromarray(photo), "TIFF")
    assert 0.98 * LIMIT < len(content) <= LIMIT
    visitor = Visitor(app.url)
    results = visitor.drop("big.tif", content)
    assert not refused(results)
    assert visitor.mask("big.tif", results).size == (4_700, 4_700)


def test_a_file_beyond_the_limit(app: Served) -> None:
    visitor, before = Visitor(app.url), kept(app)
    answer = visitor.upload("bigger.tif", bytes(LIMIT + 1))
    assert (answer.status_code, answer.text) == (
        413,
        f"File size exceeded maximum allowed size of {LIMIT} bytes.",
    )
    assert kept(app) == before
    visitor.goes_on()


class Half:
    """An upload that stops before its end until it is told to go on."""

    def __init__(self, app: Served, content: bytes) -> None:
        before = kept(app)
        self.connection = socket.create_connection(("127.0.0.1", int(app.url.rsplit(":", 1)[1])), SECONDS)
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="half.jpg"\r\n\r\n'
        body = head + content + b"\r\n--x--\r\n"
        self.connection.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        middle = len(head) + len(content) // 2
        self.connection.sendall(body[:middle])
        self.rest = body[middle:]
        wait_until(lambda: len(kept(app)) > len(before))

    def end(self) -> bytes:
        self.connection.sendall(self.rest)
        with self.connection, self.connection.makefile("rb") as answer:
            return answer.read()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_an_upload_that_breaks_off_leaves_nothing(app: Served) -> None:
    before, lines = kept(app), len(app.output)
    broken, other = Half(app, os.urandom(400_000)), Half(app, os.urandom(400_000))
    broken.connection.close()
    answer = other.end()
    assert answer.startswith(b"HTTP/1.1 200")
    wait_until(lambda: len(kept(app)) <= len(before) + 1)
    (whole,) = kept(app) - before
    assert whole.name == "half.jpg"
    Visitor(app.url).ask(str(whole))  # a noise, which is deleted
    assert kept(app) == before
    Visitor(app.url).goes_on()
    assert "Traceback" not in "".join(app.output[lines:])


@contextmanager
def full_disk(app: Served) -> Iterator[None]:
    """No file of the server's may grow: to a program, a disk that is full."""
    resource = pytest.importorskip("resource", reason="there is no way to fill a disk here")
    _, hard = resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (0, -1))
    try:
        yield
    finally:
        resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_a_full_disk(app: Served) -> None:
    told = "the computer that runs this page cannot write (File too large); make room there, then try again."
    visitor, other, lines = Visitor(app.url), Visitor(app.url), len(app.output)
    photo = encode(colours(), "JPEG")
    results = other.drop("other.jpg", photo)
    (archive,) = re.findall(r'href="([^"]+masks.zip)"', results)
    (path,) = visitor.upload("late.jpg", photo).json()
    before = kept(app) - {Path(path)}
    with full_disk(app):
        answer = visitor.upload("a.jpg", photo)
        assert (answer.status_code, answer.text) == (507, told)
        ended, results = visitor.ask(path)
        assert (ended, refused(results)) == ("complete", {"late.jpg": told})
        assert visitor.call("try_phantom", "lesion_tiny", "none") == ("error", told)
        answer = httpx.get(f"{app.url}/{archive}", timeout=SECONDS)
        assert (answer.status_code, answer.text) == (507, told)
        assert kept(app) == before
    visitor.goes_on()
    assert httpx.get(f"{app.url}/{archive}", timeout=SECONDS).status_code == 200
    assert "Exception in ASGI" not in "".join(app.output[lines:])

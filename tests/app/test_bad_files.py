"""What the real server makes of each bad file, of big ones, of an upload that breaks off, and of a full disk."""

from __future__ import annotations

import base64
import io
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.app.server import SECONDS, Served, served
from tests.datasets.layout import encode
from tests.reliability.bad_files import BAD, GOOD, SIZE, Maker, colours
from tests.tiny_bundle import write_tiny_bundle

pytest.importorskip("fastapi", reason="FastAPI is not installed")
httpx: Any = pytest.importorskip("httpx2", reason="httpx2 is not installed")

LIMIT = 64 * 2**20
"""Bytes of the largest file that is taken."""

NOTHING_TO_READ = ("link to nowhere.png", "link to itself.png", "pipe.png")
"""Bad files that nobody can upload."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The server with a tiny, untrained bundle."""
    folder = tmp_path_factory.mktemp("app")
    bundle = write_tiny_bundle(folder / "lesion_tiny", "lesion_unet")
    with served(folder / "temporary", "--bundle", str(bundle)) as running:
        yield running


def post(app: Served, name: str, content: bytes) -> Any:
    files = [("photos", (name, content))]
    return httpx.post(f"{app.url}/api/segment", files=files, timeout=SECONDS)


def drop(app: Served, name: str, content: bytes) -> dict[str, Any]:
    """Have a photo segmented; gives its entry in the answer."""
    answer = post(app, name, content)
    (photo,) = answer.json()["photos"]
    assert answer.status_code == (422 if "error" in photo else 200)
    return photo


def mask_of(photo: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(photo["mask"])))


def goes_on(app: Served) -> None:
    """Make sure that a photo is segmented like any other."""
    assert mask_of(drop(app, "good after bad.jpg", encode(colours(), "JPEG"))).size == SIZE


def content_of(make: Maker, folder: Path) -> bytes:
    (folder / "made").mkdir()
    make(folder / "made" / "photo")
    return (folder / "made" / "photo").read_bytes()


def temporary_files(app: Served) -> set[Path]:
    """The server's temporary files."""
    return {path for path in app.folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_is_segmented(name: str, app: Served, tmp_path: Path) -> None:
    photo = drop(app, name, content_of(GOOD[name], tmp_path))
    assert photo["name"] == name
    assert mask_of(photo).size == SIZE
    assert not temporary_files(app)


def test_one_pixel_is_segmented(app: Served) -> None:
    assert mask_of(drop(app, "pixel.png", encode(colours(size=(1, 1)), "PNG"))).size == (1, 1)


@pytest.mark.parametrize("name", [name for name in BAD if name not in NOTHING_TO_READ])
def test_a_bad_file_is_named_with_the_reason(name: str, app: Served, tmp_path: Path) -> None:
    make, message = BAD[name]
    lines = len(app.output)
    photo = drop(app, name, content_of(make, tmp_path))
    assert photo["name"] == name
    assert message in photo["error"]
    assert photo["error"].endswith(".")
    assert not re.search(r"[/\n]", photo["error"])  # one sentence, no path of the server's
    assert not temporary_files(app)
    goes_on(app)
    assert "Traceback" not in "".join(app.output[lines:])


@pytest.mark.parametrize("host", ["127.0.0.1:1", "photos.example", "93.184.215.14"])
def test_an_address_is_neither_asked_nor_looked_up(host: str, app: Served) -> None:
    lines, address = len(app.output), f"http://{host}/photo.jpg"
    answer = httpx.post(f"{app.url}/api/segment", data={"photos": address}, timeout=SECONDS)
    assert answer.status_code == 422
    assert httpx.get(f"{app.url}/{address}", timeout=SECONDS).status_code == 404
    goes_on(app)
    assert not [
        line for line in app.output[lines:] if line.startswith(("CONNECTED", "LOOKED UP", "Traceback"))
    ]


def test_64_mb_of_noise(app: Served) -> None:
    photo = drop(app, "noise.jpg", os.urandom(64_000_000))
    assert photo["error"] == "this is not an image of a known format; replace it or leave it out."
    assert not temporary_files(app)
    goes_on(app)


def test_a_photo_as_big_as_may_be(app: Served) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (4_700, 4_700, 3), dtype=np.uint8)
    content = encode(Image.fromarray(photo), "TIFF")
    assert 0.98 * LIMIT < len(content) <= LIMIT
    assert mask_of(drop(app, "big.tif", content)).size == (4_700, 4_700)


def test_a_file_beyond_the_limit(app: Served) -> None:
    assert drop(app, "bigger.tif", bytes(LIMIT + 1))["error"] == "the file has more than 64 MB."
    with begun(app, 4 * LIMIT + 1) as connection, connection.makefile("rb") as answer:
        assert answer.readline().startswith(b"HTTP/1.1 413")  # without the body
    assert not temporary_files(app)
    goes_on(app)


def begun(app: Served, length: int) -> socket.socket:
    """A connection that has announced an upload."""
    connection = socket.create_connection(("127.0.0.1", int(app.url.rsplit(":", 1)[1])), SECONDS)
    connection.sendall(
        b"POST /api/segment HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n" % length
    )
    return connection


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_an_upload_that_breaks_off_leaves_nothing(app: Served) -> None:
    lines = len(app.output)
    with begun(app, 4_000_000) as connection:
        head = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="half.jpg"\r\n\r\n'
        connection.sendall(head + os.urandom(3_000_000))
        wait_until(lambda: "dermaseg_requests_under_way 1" in metrics(app))
    wait_until(lambda: "dermaseg_requests_under_way 0" in metrics(app))
    assert not temporary_files(app)
    goes_on(app)
    assert "Traceback" not in "".join(app.output[lines:])


def metrics(app: Served) -> str:
    return httpx.get(f"{app.url}/metrics", timeout=SECONDS).text


@contextmanager
def full_disk(app: Served) -> Iterator[None]:
    """No file of the server's may grow: to a program, a disk that is full."""
    resource = pytest.importorskip("resource", reason="there is no way to fill a disk here")
    _, hard = resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (0, -1))
    try:
        yield
    finally:
        resource.prlimit(app.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("size", [(48, 40), (1_200, 1_200)], ids=["in memory", "on disk"])
def test_a_full_disk(size: tuple[int, int], app: Served) -> None:
    lines, photo = len(app.output), encode(colours(size=size), "PNG")
    with full_disk(app):
        answer = post(app, "a.png", photo)
        assert answer.status_code == 507
        assert answer.json()["detail"] == (
            "the computer that runs this page cannot write (File too large); make room there, then try again."
        )
    assert not temporary_files(app)
    goes_on(app)
    assert "Traceback" not in "".join(app.output[lines:])


def test_stopping_at_work_ends_in_an_answer(tmp_path: Path) -> None:
    with served(tmp_path / "temporary") as app:
        photo = np.random.default_rng(0).integers(0, 256, (4_700, 4_700, 3), dtype=np.uint8)
        content = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="big.tif"\r\n\r\n'
        content += encode(Image.fromarray(photo), "TIFF") + b"\r\n--x--\r\n"
        with begun(app, len(content)) as connection, connection.makefile("rb") as answer:
            connection.sendall(content[:-1])  # never whole
            wait_until(lambda: "dermaseg_requests_under_way 1" in metrics(app))
            app.stop()
            assert answer.readline().startswith(b"HTTP/1.1 503")
        assert "Traceback" not in "".join(app.output)

"""The server fetches nothing that a visitor names, even where Gradio would let it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.app.models import Model
from dermaseg_monai.app.server import build_app
from tests.tiny_bundle import write_tiny_bundle
from tests.web import Server, running_server

pytest.importorskip("gradio", reason="gradio is not installed")


@pytest.fixture
def outside() -> Iterator[Server]:
    """A web server that has a photo."""
    with running_server() as server:
        server.files["photo.png"] = b"photo"
        yield server


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page, by a Gradio that takes every address for a public one."""
    import safehttpx
    from fastapi.testclient import TestClient

    async def public(host: str) -> str:
        return "127.0.0.1"

    monkeypatch.setattr(safehttpx, "async_validate_url", public)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    bundle = write_tiny_bundle(tmp_path / "lesion_tiny", "lesion_unet")
    app = build_app([Model(bundle, bundle / "models")], tmp_path)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def ask(client: Any, *values: Any) -> tuple[str, Any]:
    """What calling ``segment`` ends with: "complete" or "error", and its data."""
    address = "/gradio_api/call/segment"
    answer = client.post(address, json={"data": values, "session_hash": "visitor"})
    assert answer.status_code == 200, answer.text
    stream = client.get(f"{address}/{answer.json()['event_id']}").text
    ended, data = re.findall(r"event: (\w+)\ndata: (.+)\n", stream)[-1]
    return ended, json.loads(data)


def file_at(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


@pytest.mark.parametrize("place", ["file", "choice", "nested"])
def test_an_address_instead_of_an_upload(place: str, client: Any, outside: Server, tmp_path: Path) -> None:
    photo = file_at(f"{outside.url}photo.png")
    values = {
        "file": ([photo], "lesion_tiny", "none"),
        "choice": (None, photo, "none"),
        "nested": (None, "lesion_tiny", [{"deep": photo}]),
    }
    ended, told = ask(client, *values[place])
    assert ended == "error"
    assert told["error"] == "A web address is not fetched; download the photo and upload it."
    assert not outside.requests
    assert not [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]


def test_the_address_beside_an_upload_is_not_used(client: Any, outside: Server) -> None:
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.jpg", b"no photo")}).json()
    ended, results = ask(client, [file_at(path, url=f"{outside.url}photo.png")], "lesion_tiny", "none")
    assert ended == "complete", results
    assert "a.jpg" in results[1]
    assert not outside.requests


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_address_instead_of_a_file(method: str, client: Any, outside: Server) -> None:
    for before in ("/gradio_api/file=", "/gradio_api/file/", "/gradio_api/proxy="):
        answer = client.request(method, f"{before}{outside.url}photo.png")
        assert answer.status_code in (403, 405)
        if method == "GET":
            assert answer.json() == {"detail": "A web address is not fetched."}
    assert not outside.requests

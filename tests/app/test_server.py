"""How the page is started, and what it refuses to serve."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from dermaseg_monai.app import run_app
from dermaseg_monai.app.models import find_models
from dermaseg_monai.app.server import build_app
from dermaseg_monai.errors import InputError


def test_without_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dermaseg_monai.app.server.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "dermaseg-monai\[app\]"'):
        run_app()


@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="gradio is not installed")
def test_a_port_that_is_taken() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InputError, match="give another --port"),
    ):
        run_app(port=taken.getsockname()[1])
    with pytest.raises(InputError, match="--port is 70000"):
        run_app(port=70000)


def test_only_pictures_of_a_session_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed")
    from fastapi.testclient import TestClient

    from dermaseg_monai.app import session

    session_class = session.Sessions

    made: list[session.Sessions] = []
    monkeypatch.setattr(
        session, "Sessions", lambda root: made.append(session_class(root)) or made[-1], raising=True
    )
    client = TestClient(build_app(find_models(), tmp_path), base_url="http://127.0.0.1")
    one = made[0].of("page")
    one.folder.mkdir(parents=True)
    (one.folder / "a.png").write_bytes(b"picture")
    (one.folder / "notes.txt").write_text("private")
    (tmp_path / "outside.png").write_bytes(b"outside")
    base = f"/results/{one.token}"
    answer = client.get(f"{base}/a.png")
    assert (answer.content, answer.headers["cache-control"]) == (b"picture", "no-store")
    for path in (f"{base}/notes.txt", f"{base}/..%2f..%2foutside.png", f"{base}/b.png", "/results/x/a.png"):
        assert client.get(path).status_code == 404

"""Starts of the page that fail."""

from __future__ import annotations

import importlib.util
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from dermaseg_monai.app import run_app
from dermaseg_monai.utils.errors import InputError, find_input_error
from tests.tiny_bundle import write_tiny_bundle


def test_without_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dermaseg_monai.app.server.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "dermaseg-monai\[app\]"'):
        run_app()


@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="FastAPI is not installed")
def test_an_address_that_cannot_be() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InputError, match="give another --port"),
    ):
        run_app(port=taken.getsockname()[1])
    with pytest.raises(InputError, match="--port is 70000"):
        run_app(port=70000)
    with pytest.raises(InputError, match="give a plain path"):
        run_app(prefix="/a?b")


@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="FastAPI is not installed")
def test_damaged_weights_end_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    folder = write_tiny_bundle(tmp_path / "lesion_damaged", "lesion_unet")
    (folder / "models" / "model.pt").write_bytes(b"no weights")
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: pytest.fail("the page is served"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # what the server changes of the process comes back
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    monkeypatch.setattr("dermaseg_monai.engines.malloc.keep_freed_memory", lambda: None)
    with pytest.raises(Exception, match=r"model\.pt") as caught:
        run_app(port=0, bundles=[str(folder)])
    assert find_input_error(caught.value) is not None

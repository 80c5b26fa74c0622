"""How the page is started."""

from __future__ import annotations

import importlib.util
import socket

import pytest

from dermaseg_monai.app import run_app
from dermaseg_monai.utils.errors import InputError


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

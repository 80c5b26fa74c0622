"""The page's web server: on this computer alone, and asking nobody outside for anything."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermaseg_monai.errors import InputError, OutputError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from dermaseg_monai.app.models import Model

MAX_UPLOAD = "64mb"
"""Largest file that is taken."""

# the browser itself refuses whatever a library might ask for elsewhere
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_Message = MutableMapping[str, Any]


def run_app(
    host: str = "127.0.0.1",
    port: int = 7860,
    bundles: Sequence[str] = (),
    ckpt_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Serve the page until it is stopped (Ctrl+C, or SIGTERM). Its temporary files go with it.

    Args:
        host: the address to listen at; the default answers this computer alone.
        port: 0 takes any free one.
        bundles: names or folders of bundles to offer first, see :func:`dermaseg_monai.app.models.find_models`.
        ckpt_dir: where the weights of the only bundle named are.

    Raises:
        InputError: Gradio is not installed, a bundle cannot be used, or the address is taken.
    """
    if find_spec("gradio") is None:
        raise InputError('the page needs Gradio; install it with `pip install "dermaseg-monai[app]"`.')
    from dermaseg_monai.app.models import find_models

    listening = _listen(host, port)
    signal.signal(signal.SIGTERM, _stop)
    with listening, tempfile.TemporaryDirectory(prefix="dermaseg-app-", ignore_cleanup_errors=True) as root:
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_RUN_HISTORY"] = "False"  # names and results would stay in the browser
        os.environ["GRADIO_TEMP_DIR"] = os.path.join(root, "uploads")
        os.environ["HF_HUB_OFFLINE"] = "1"
        models = find_models(bundles, ckpt_dir)
        _ = next(
            model for model in models if model.task == "lesion"
        ).network  # its faults show now, not later
        import uvicorn

        app = build_app(models, Path(root), host)
        for noisy in ("httpx", "monai", "ignite", "PhotoEvaluator"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        number = listening.getsockname()[1]
        print(f"DermaSeg is at http://{_in_address(host)}:{number} (stop it with Ctrl+C)", flush=True)
        if not _is_loopback(host):
            print("anyone who can reach this computer can use the page: there is no password", flush=True)
        settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)
        uvicorn.Server(settings).run(sockets=[listening])


def build_app(models: Sequence[Model], root: Path, host: str = "127.0.0.1") -> FastAPI:
    """The page and what it serves, as an ASGI application.

    Args:
        models: the bundles to choose from.
        root: folder for visitors' photos and results.
        host: the address it will listen at.
    """
    import gradio as gr
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import FileResponse, PlainTextResponse, Response
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from dermaseg_monai.app.page import TITLE, build_page
    from dermaseg_monai.app.session import Sessions, disk_fault

    async def no_room(request: Any, error: Exception) -> Response:
        told = disk_fault(error)
        if told is None:
            raise error
        return PlainTextResponse(told, 507)

    sessions = Sessions(root / "sessions")
    settings: dict[str, Any] = {
        "docs_url": None,
        "redoc_url": None,
        "openapi_url": None,
        "exception_handlers": {OSError: no_room, OutputError: no_room},
    }
    app = FastAPI(title=TITLE, **settings)
    private = {"cache-control": "no-store"}

    @app.get("/results/{token}/{name:path}")
    def result(token: str, name: str) -> Response:
        session = sessions.by_token(token)
        if session is None:
            raise HTTPException(404, "These results are gone: the page that they belong to was closed.")
        if name == "measurements.csv":
            return Response(session.table(), media_type="text/csv", headers=private)
        if name == "masks.zip":
            return FileResponse(session.archive(), filename=name, headers=private)
        path = (session.folder / name).resolve()
        if not path.is_relative_to(session.folder.resolve()) or path.suffix not in (".jpg", ".png"):
            raise HTTPException(404)
        if not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers=private)

    # Gradio serves what lies at an address in place of a file's path
    @app.api_route("/{before:path}://{after:path}", methods=["GET", "HEAD"])
    def address(before: str, after: str) -> Response:
        raise HTTPException(403, "A web address is not fetched.")

    # fonts that every system has: nothing is fetched, and the palette's own grey is too pale to read
    theme = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        button_large_text_weight="500",
    )
    page = build_page(models, sessions)
    # for a page that is mounted Gradio leaves this out, and takes any path on this computer for that of an upload
    page.has_launched = True
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=host,
        footer_links=[],
        app_kwargs=settings,
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        pwa=False,
        theme=theme,
        css_paths=Path(__file__).with_name("style.css"),
    )
    if _is_loopback(host):
        # another site cannot reach the page through a name of its own that leads here
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", host])
    app.add_middleware(_Headers)
    app.add_middleware(_Uploads, folder=root / "uploads")
    return app


class _Headers:
    """ASGI middleware that adds the security headers to every answer."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(
        self, scope: _Message, receive: Any, send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class _Uploads:
    """ASGI middleware that deletes what an upload that broke off has left.

    Gradio writes to ``tmp...`` and gives the file its name once it is whole.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], folder: Path) -> None:
        self.app = app
        self.folder = folder
        self.under_way = 0

    async def __call__(
        self, scope: _Message, receive: Any, send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        from starlette.requests import ClientDisconnect

        if scope["type"] != "http" or not scope["path"].endswith("/upload"):
            await self.app(scope, receive, send)
            return
        self.under_way += 1
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            pass  # there is nobody to tell
        finally:
            self.under_way -= 1
            if not self.under_way:  # which of them is whose cannot be told
                for path in self.folder.glob("tmp*"):
                    path.unlink(missing_ok=True)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InputError(f"--port is {port}; give 1 to 65535, or 0 for any free one.")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError(
            f"the page cannot listen at {host}, port {port} ({error.strerror}); give another --port or --host."
        ) from error


def _stop(number: int, frame: Any) -> None:
    raise SystemExit(0)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""The page's web server: on this computer alone unless told otherwise, and asking nobody outside for anything."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ipaddress
import logging
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermaseg_monai.utils.errors import InputError, OutputError, find_input_error, refusal

if TYPE_CHECKING:
    from fastapi import FastAPI

    from dermaseg_monai.app.limits import Limits
    from dermaseg_monai.app.models import Model

STATIC = Path(__file__).with_name("static")
"""The page's files."""

# the browser itself refuses whatever might be asked for elsewhere
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_PHANTOM_SIZE = (576, 768)
_Message = MutableMapping[str, Any]


def run_app(
    host: str = "127.0.0.1",
    port: int = 7860,
    bundles: Sequence[str] = (),
    ckpt_dir: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    prefix: str = "",
    workers: int | None = None,
) -> None:
    """Serve the page and its interface until they are stopped (Ctrl+C, or SIGTERM).

    Args:
        host: the address to listen at; the default answers this computer alone.
        port: 0 takes any free one.
        bundles: names or folders of bundles to offer first, see :func:`dermaseg_monai.app.models.find_models`.
        ckpt_dir: where the weights of the only bundle named are.
        limits: what one visitor may ask.
        prefix: the path below which a reverse proxy shows the page, such as "/lesions".
        workers: photos that are worked on at once; as many as cores by default.

    Raises:
        InputError: FastAPI is not installed, a bundle cannot be used, or the address is taken.
    """
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "python_multipart")):
        raise InputError('the page needs FastAPI; install it with `pip install "dermaseg-monai[app]"`.')
    import torch
    import uvicorn

    from dermaseg_monai.app.limits import Limits
    from dermaseg_monai.app.models import find_models
    from dermaseg_monai.engines.malloc import keep_freed_memory

    limits = limits or Limits()
    prefix = _checked_prefix(prefix)
    listening = _listen(host, port)
    signal.signal(signal.SIGTERM, _stop)
    with listening, tempfile.TemporaryDirectory(prefix="dermaseg-app-", ignore_cleanup_errors=True) as root:
        tempfile.tempdir = root  # uploads too are spooled where they go with the program
        models = find_models(bundles, ckpt_dir)
        # the default's faults show now, not at the first photo
        _ = next(model for model in models if model.task == "lesion").loaded
        workers = workers or os.cpu_count() or 1
        # photos side by side need no threads within: a busy server gets more done that way
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
        keep_freed_memory()
        app = build_app(models, limits, host, prefix, workers)
        number = listening.getsockname()[1]
        print(f"DermaSeg is at http://{_in_address(host)}:{number}{prefix} (stop it with Ctrl+C)", flush=True)
        if not _is_loopback(host) and limits.token is None:
            print("anyone who can reach this computer can use the page: there is no password", flush=True)
        logging.getLogger("monai").setLevel(logging.WARNING)
        settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3)
        uvicorn.Server(settings).run(sockets=[listening])


def build_app(
    models: Sequence[Model],
    limits: Limits,
    host: str = "127.0.0.1",
    prefix: str = "",
    workers: int = 1,
) -> FastAPI:
    """The page and its interface, as an ASGI application.

    Args:
        models: the bundles to choose from.
        limits: what one visitor may ask.
        host: the address it will listen at.
        prefix: of all its paths.
        workers: photos that are worked on at once.
    """
    from fastapi import FastAPI, HTTPException
    from fastapi.middleware.cors import CORSMiddleware
    from fastapi.responses import JSONResponse, Response
    from fastapi.staticfiles import StaticFiles
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from dermaseg_monai import __version__
    from dermaseg_monai.app.api import build_api
    from dermaseg_monai.app.metrics import Metrics
    from dermaseg_monai.app.turns import BusyError, Turns

    turns, metrics = Turns(workers, limits.places), Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        yield
        turns.close()

    async def busy(request: Any, error: Exception) -> Response:
        assert isinstance(error, BusyError)
        return JSONResponse({"detail": str(error)}, 503, {"retry-after": str(error.seconds)})

    async def no_room(request: Any, error: Exception) -> Response:
        fault = disk_fault(error)
        if fault is None:
            raise error
        return JSONResponse({"detail": fault}, 507)

    app = FastAPI(
        title="DermaSeg",
        version=__version__,
        docs_url=None,  # they would load scripts from outside; the page's own files have another
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
        exception_handlers={BusyError: busy, OSError: no_room, OutputError: no_room},
    )
    app.include_router(build_api(models, turns, limits, metrics))

    @app.get("/config.json", include_in_schema=False)
    def config() -> dict[str, Any]:
        return {"engine": "server", "token": limits.token is not None}

    @app.get("/example.jpg", include_in_schema=False)
    def example() -> Response:
        return Response(example_photo(secrets.randbelow(1000)), media_type="image/jpeg")

    @app.get("/api/{path:path}", include_in_schema=False)
    def unknown(path: str) -> Response:
        raise HTTPException(404)

    app.mount("/", StaticFiles(directory=STATIC, html=True))
    if limits.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(limits.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization"],
            expose_headers=["retry-after"],
        )
    if _is_loopback(host):
        # another site cannot reach the page through a name of its own that leads here
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]", host])
    app.add_middleware(_Outermost, prefix=prefix, count=metrics.count_request)
    return app


def example_photo(seed: int) -> bytes:
    """A synthetic photo of a lesion, as JPEG."""
    from PIL import Image

    from dermaseg_monai.datasets.phantoms import render_phantom

    jpeg = io.BytesIO()
    Image.fromarray(render_phantom(seed, _PHANTOM_SIZE).image).save(jpeg, format="JPEG", quality=92)
    return jpeg.getvalue()


def disk_fault(error: BaseException) -> str | None:
    """Message about a disk that is full or refuses, without the server's paths; None of another error."""
    mistake, refused = find_input_error(error), refusal(error)
    if refused is None or not (mistake is None or isinstance(mistake, OutputError)):
        return None
    return f"the computer that runs this page cannot write ({refused.strerror}); make room there, then try again."


class _Outermost:
    """ASGI middleware that adds the security headers to every answer, and counts those of the interface.

    A reverse proxy may strip the prefix from the paths that it passes on, or leave it.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], prefix: str, count: Callable[[str, int, float], None]
    ) -> None:
        self.app = app
        self.prefix = prefix
        self.count = count

    async def __call__(
        self, scope: _Message, receive: Any, send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        from starlette.requests import ClientDisconnect
        from starlette.responses import JSONResponse

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.monotonic()
        scope = {**scope, "root_path": self.prefix}
        route = scope["path"].removeprefix(self.prefix)
        private = route.startswith("/api") or route == "/metrics"
        # a page that was updated is not mixed with files of the one before
        headers = {**_HEADERS, "cache-control": "no-store" if private else "no-cache"}

        begun = False

        async def send_with_headers(message: _Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                added = [(name.encode(), value.encode()) for name, value in headers.items()]
                message["headers"] = [*message.get("headers", ()), *added]
                if route in ("/api/segment", "/api/refine"):
                    self.count(route, message["status"], time.monotonic() - start)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            pass  # there is nobody to tell
        except asyncio.CancelledError:  # the server stops
            if not begun:
                await JSONResponse({"detail": "the server stops."}, 503)(scope, receive, send_with_headers)


def _checked_prefix(prefix: str) -> str:
    inner = prefix.strip("/")
    if any(character in inner for character in "?#%\\ ") or "//" in inner:
        raise InputError(f"--prefix is '{prefix}'; give a plain path, such as /lesions.")
    return f"/{inner}" if inner else ""


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

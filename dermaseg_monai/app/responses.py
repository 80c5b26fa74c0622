"""Answers as HTTP responses: JSON with pictures in base64, or a form with pictures as parts."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse


def respond(request: Request, values: Mapping[str, Any], status: int = 200) -> Response:
    """The response that the request's Accept header asks for.

    Args:
        request: asks for ``multipart/form-data``, or else gets JSON.
        values: for JSON, but for pictures, which are ``bytes``.
        status: of the response.
    """
    if "multipart/form-data" not in request.headers.get("accept", ""):
        content = without_pictures(values, lambda picture: base64.b64encode(picture).decode())
        return JSONResponse(content, status)
    pictures: list[bytes] = []

    def part(picture: bytes) -> str:
        pictures.append(picture)
        return f"picture{len(pictures)}"

    boundary = secrets.token_hex(16)
    described = json.dumps(without_pictures(values, part)).encode()
    body = _part(boundary, "answer", "application/json", described)
    for number, picture in enumerate(pictures, start=1):
        kind = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
        body += _part(boundary, f"picture{number}", kind, picture)
    body += f"--{boundary}--\r\n".encode()
    return Response(body, status, media_type=f"multipart/form-data; boundary={boundary}")


def without_pictures(value: Any, take: Callable[[bytes], str]) -> Any:
    """``value`` with each picture in it replaced by the text that ``take`` gives for it."""
    if isinstance(value, bytes):
        return take(value)
    if isinstance(value, dict):
        return {name: without_pictures(one, take) for name, one in value.items()}
    if isinstance(value, list):
        return [without_pictures(one, take) for one in value]
    return value


def _part(boundary: str, name: str, kind: str, content: bytes) -> bytes:
    ending = {"image/png": ".png", "image/jpeg": ".jpg"}.get(kind)
    filename = f'; filename="{name}{ending}"' if ending else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + content + b"\r\n"

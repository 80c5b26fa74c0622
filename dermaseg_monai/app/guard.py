"""Checks of a request before its body is read: host, origin and token."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException, Request

from dermaseg_monai.app.limits import MAX_BODY, Limits

_LARGEST_TABLE = 10_000  # addresses whose rate is remembered


class Guard:
    """Checks that let a request in, or say why not, before its body is read.

    Args:
        limits: what is allowed.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._buckets: dict[str, tuple[float, float]] = {}  # requests left and when, by address

    def check_origin(self, request: Request) -> None:
        """Refuse what another site makes a visitor's browser send.

        Raises:
            HTTPException: 403.
        """
        foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign and request.headers.get("origin") not in self.limits.origins:
            raise HTTPException(403, "pages of another site may not use this server; see --cors.")

    def check_token(self, request: Request) -> None:
        """Refuse a request without the token.

        Raises:
            HTTPException: 401.
        """
        wanted = self.limits.token
        header = request.headers.get("authorization", "")
        if wanted is not None and not secrets.compare_digest(header.encode(), f"Bearer {wanted}".encode()):
            raise HTTPException(
                401,
                "this server wants a token; send it as 'Authorization: Bearer TOKEN'.",
                {"www-authenticate": "Bearer"},
            )

    def check_rate(self, request: Request) -> None:
        """Refuse an address that asks too often.

        Raises:
            HTTPException: 429, with Retry-After.
        """
        most = self.limits.per_minute
        if not most:
            return
        address = request.client.host if request.client else ""
        now = time.monotonic()
        left, then = self._buckets.get(address, (float(most), now))
        left = min(most, left + (now - then) * most / 60)
        if left < 1:
            seconds = int((1 - left) * 60 / most) + 1
            raise HTTPException(
                429,
                f"at most {most} requests a minute; try again in {seconds} seconds.",
                {"retry-after": str(seconds)},
            )
        if len(self._buckets) >= _LARGEST_TABLE:
            self._buckets.clear()
        self._buckets[address] = (left - 1, now)


def limited(request: Request) -> Request:
    """The request, which breaks off as soon as its body is larger than any that is taken.

    Raises:
        HTTPException: 413, now or while the body is read.
    """
    too_large = HTTPException(413, f"a request may have {MAX_BODY} bytes; send fewer photos at once.")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY:
        raise too_large
    receive: Callable[[], Awaitable[Any]] = request.receive
    received = 0

    async def counted() -> Any:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY:
            raise too_large
        return message

    return Request(request.scope, counted)

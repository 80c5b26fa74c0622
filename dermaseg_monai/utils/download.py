"""Resumable HTTP downloads."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from dermaseg_monai import __version__
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import sha256

ATTEMPTS = 6
"""Tries in a row that bring no new byte before a download is given up."""

BACKOFF_SECONDS = 1.0
"""Pause after the first failure; it doubles with each further one in a row."""

TIMEOUT_SECONDS = 60
_BLOCK = 1 << 20
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


def sha256_of(path: Path, name: str) -> str:
    """The SHA-256 of a file in hexadecimal digits, read with a progress bar that says ``name``."""
    with _bar(f"checking {name}", path.stat().st_size) as bar:
        return sha256(path, bar.update)


def fetch(url: str, part: Path, name: str, size: int | None = None, limit: int | None = None) -> None:
    """Bring ``part`` to the full length of what is at ``url``, over as many connections as it takes.

    Bytes that ``part`` has already are not asked for again, where the server can send ranges.

    Args:
        url: https or http address.
        part: the file to write; it stays where the download fails, so that the next one goes on from it.
        name: what the progress bar says.
        size: bytes that are expected, for the bar.
        limit: bytes beyond which nothing is taken; any number by default.

    Raises:
        InputError: the address is of another kind, the server refuses or cannot be reached, the file is
            longer than ``limit``, or the disk is too small.
    """
    if not url.startswith(("https://", "http://")):
        raise InputError(f"the address must start with https:// or http://, not {url!r}.")
    failures = 0
    with _bar(f"fetching {name}", size) as bar:
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                if _fetch_once(url, part, bar, limit):
                    return
                reason = "the connection broke"
            except InputError:
                raise
            except (http.client.InvalidURL, ValueError) as error:
                raise InputError(f"{url} is no address ({error}); check it.") from error
            except urllib.error.HTTPError as error:
                if error.code not in _RETRIED_STATUS:
                    raise InputError(
                        f"the server refuses {url} ({error.code} {error.reason}); check the address."
                    ) from error
                reason = f"{error.code} {error.reason}"
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            after = part.stat().st_size if part.exists() else 0
            failures = 1 if after > before else failures + 1
            if failures >= ATTEMPTS:
                raise InputError(
                    f"fetching {url} failed {failures} times in a row ({reason}); run the same command again "
                    f"to go on after the {after:,} bytes that are there."
                )
            time.sleep(BACKOFF_SECONDS * 2 ** (failures - 1))


def _fetch_once(url: str, part: Path, bar: tqdm, limit: int | None) -> bool:
    """Read over one connection, appending to ``part``; returns whether the file is complete."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"dermaseg-monai/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        if _total(error.headers.get("Content-Range")) == start:
            return True
        # the part is longer than the file: it belongs to something else
        part.unlink()
        return False
    with response:
        if response.status == 206 and _start(response.headers.get("Content-Range")) == start:
            total = _total(response.headers.get("Content-Range"))
        else:
            # the server sends the whole file, whatever was asked for
            start = 0
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
        if total is not None:
            _check_limit(url, total, limit)
            _check_room(part, total - start)
        bar.total, bar.n = total, start
        bar.refresh()
        with part.open("ab" if start else "wb") as stream:
            while block := response.read(_BLOCK):
                _check_limit(url, stream.tell() + len(block), limit)
                stream.write(block)
                bar.update(len(block))
            stream.flush()
            os.fsync(stream.fileno())
            return total is None or stream.tell() >= total


def _check_limit(url: str, length: int, limit: int | None) -> None:
    if limit is not None and length > limit:
        raise InputError(f"{url} is longer than the {limit:,} bytes that are taken; check the address.")


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise InputError(f"{part.parent} has {free:,} bytes free, but {needed:,} are to come; make room.")


def _start(content_range: str | None) -> int | None:
    match = re.match(r"bytes (\d+)-", content_range or "")
    return int(match[1]) if match else None


def _total(content_range: str | None) -> int | None:
    match = re.search(r"/(\d+)$", content_range or "")
    return int(match[1]) if match else None


def _bar(name: str, total: int | None) -> tqdm:
    return tqdm(total=total, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None)

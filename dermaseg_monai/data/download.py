"""The official archives from the challenge's public storage."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dermaseg_monai import __version__
from dermaseg_monai.data.isic2018 import ARCHIVES, BASE_URL, SECTIONS, TASKS, Archive, kinds
from dermaseg_monai.errors import InputError
from dermaseg_monai.files import write_text

ATTEMPTS = 6
"""Tries in a row that bring no new byte before a download is given up."""

BACKOFF_SECONDS = 1.0
"""Pause after the first failure; it doubles with each further one in a row."""

TIMEOUT_SECONDS = 60
_BLOCK = 1 << 20
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


def download_isic2018(
    output: str | os.PathLike[str],
    task: str = "both",
    sections: Sequence[str] = ("training",),
    base_url: str = BASE_URL,
) -> list[Path]:
    """Fetch the official archives into a folder.

    A dropped connection is taken up where it broke, within a run and from one run to the next (the part lies
    in ``<archive>.part``). An archive gets its name only once its size and checksum are right; one that is
    there already is checked and not fetched again. Where no checksum is published the archive's own CRCs are
    checked. The SHA-256 of every archive is recorded in ``<archive>.sha256`` and holds for later runs.

    Args:
        output: folder for the zip files; it is made where it is missing.
        task: "lesion", "attribute" or "both": which masks come with the photos.
        sections: any of "training", "validation" and "test".
        base_url: address of the folder with the archives, for a mirror.

    Returns:
        The archives' paths.

    Raises:
        InputError: when an argument is wrong, the server has no such file or can not be reached, the disk is
            too small, or an archive is damaged.
    """
    sections = (sections,) if isinstance(sections, str) else tuple(sections)
    if task not in TASKS:
        raise InputError(f"The task must be one of {', '.join(TASKS)}, not {task!r}.")
    if not sections or not set(sections) <= set(SECTIONS):
        raise InputError(f"The sections must be some of {', '.join(SECTIONS)}, not {sections}.")
    if not base_url.startswith(("https://", "http://")):
        raise InputError(f"The address must start with https:// or http://, not {base_url!r}.")
    output = Path(output).expanduser()
    if output.exists() and not output.is_dir():
        raise InputError(f"The output {output} is a file; give a folder.")
    output.mkdir(parents=True, exist_ok=True)
    wanted = [ARCHIVES[section, kind] for section in dict.fromkeys(sections) for kind in kinds(task)]
    return [_obtain(archive, output, base_url.rstrip("/")) for archive in wanted]


def _obtain(archive: Archive, output: Path, base_url: str) -> Path:
    path = output / archive.file_name
    if path.exists():
        problem = _problem(path, archive)
        if problem:
            raise InputError(f"The archive {path} {problem}; delete it and run the same command again.")
        return path
    part = path.with_name(f"{path.name}.part")
    _fetch(f"{base_url}/{archive.file_name}", part, archive)
    problem = _problem(part, archive)
    if problem:
        part.unlink()
        raise InputError(
            f"{archive.file_name} as downloaded {problem} and was removed; run the command again."
        )
    os.replace(part, path)
    return path


def _problem(path: Path, archive: Archive) -> str | None:
    """What is wrong with a whole archive, or None; records its checksum where it is right."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"has {size:,} bytes instead of {archive.size:,}"
    record = path.with_name(f"{archive.file_name}.sha256")
    recorded = record.read_text(encoding="utf-8").split(maxsplit=1)[:1] if record.exists() else []
    digest = _sha256(path, archive.file_name)
    expected = archive.sha256 or (recorded[0] if recorded and path.suffix == ".zip" else None)
    if expected is not None and digest != expected:
        return f"has the sha256 {digest} instead of {expected}"
    if expected is None and (damage := _damage(path)):
        return damage
    if recorded != [digest]:
        write_text(record, f"{digest}  {archive.file_name}\n")
    return None


def _damage(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as file:
            member = file.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        return f"is not a whole zip archive ({error})"
    return f"is damaged at {member}" if member else None


def _sha256(path: Path, name: str) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream, _bar(f"Checking {name}", path.stat().st_size) as bar:
        while block := stream.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _fetch(url: str, part: Path, archive: Archive) -> None:
    """Bring ``part`` to the full length, over as many connections as it takes."""
    failures = 0
    with _bar(f"Fetching {archive.file_name}", archive.size) as bar:
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                if _fetch_once(url, part, bar):
                    return
                reason = "the connection broke"
            except urllib.error.HTTPError as error:
                if error.code not in _RETRIED_STATUS:
                    raise InputError(
                        f"The server refuses {url} ({error.code} {error.reason}); check the address."
                    ) from error
                reason = f"{error.code} {error.reason}"
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            after = part.stat().st_size if part.exists() else 0
            failures = 1 if after > before else failures + 1
            if failures >= ATTEMPTS:
                raise InputError(
                    f"Fetching {url} failed {failures} times in a row ({reason}); run the same command again "
                    f"to go on after the {after:,} bytes that are there."
                )
            time.sleep(BACKOFF_SECONDS * 2 ** (failures - 1))


def _fetch_once(url: str, part: Path, bar: tqdm) -> bool:
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
            _check_room(part, total - start)
        bar.total, bar.n = total, start
        bar.refresh()
        with part.open("ab" if start else "wb") as stream:
            while block := response.read(_BLOCK):
                stream.write(block)
                bar.update(len(block))
            stream.flush()
            os.fsync(stream.fileno())
            return total is None or stream.tell() >= total


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

"""Downloading and installing shared bundles from any web server."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from dermaseg_monai.bundle.config_ids import nearest
from dermaseg_monai.bundle.files import RECORD, bundle_files, is_name, is_version, read_metadata
from dermaseg_monai.sharing.archive import MAX_BYTES, unpack
from dermaseg_monai.sharing.pack import INDEX, SUMS, version_key
from dermaseg_monai.sharing.screen import screen
from dermaseg_monai.utils.download import fetch, sha256_of
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import sha256, sweep, temporary_path, write_text, writing

MAX_INDEX_BYTES = 16 << 20


@dataclass(frozen=True)
class Offer:
    """A bundle that a server has.

    Attributes:
        name: of the bundle.
        version: of the bundle.
        url: of the archive.
        sha256: that the archive must have.
    """

    name: str
    version: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Installed:
    """What came of getting a bundle.

    Attributes:
        path: the bundle's folder.
        version: of the bundle that is there now.
        replaced: version that was there before; None if there was none.
        kept: where the old folder is, if it had files of the user's own.
        fetched: False where this very archive was there already.
    """

    path: Path
    version: str
    replaced: str | None = None
    kept: Path | None = None
    fetched: bool = True


def install(
    name: str, url: str, output: str | os.PathLike[str] = "bundles", version: str | None = None
) -> Installed:
    """Download a bundle, check it, and put it in place of an older one.

    An interrupted download is taken up by the next call. The archive must have the SHA-256 that the server's
    list gives, every entry must lie in one folder, and every config must pass the screen, before anything
    appears under ``output / name``. The old folder is moved aside, the new one to its place; the old one is deleted,
    or kept under a name of its own where files in it were added or changed since it was downloaded, such as trained
    weights. What a killed call left of these steps, the next one ends.

    Args:
        name: of the bundle.
        url: of a folder with ``model_info.json`` or ``SHA256SUMS``, or of one of these files.
        output: folder of bundles.
        version: of the bundle; by default the newest, unless a newer one is there already.

    Returns:
        Where it is, and what became of the old one.

    Raises:
        InputError: the server cannot be reached or has no such bundle, the download is damaged or refused,
            or the disk cannot be written.
    """
    if not is_name(name):
        raise InputError(f"'{name}' cannot be a bundle's name; it takes letters, digits, '_' and '-'.")
    output = Path(output)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        sweep(output)
        path, aside = output / name, output / f".{name}.old"
        kept = _settle(path, aside)
        offer = _chosen(_offers(url, output), name, version)
        before = _version_of(path)
        record = _record(path)
        if record.get("sha256") == offer.sha256 and not set(_changed(path, record)) & set(record["files"]):
            return Installed(path, offer.version, kept=kept, fetched=False)
        if version is None and before and version_key(before) > version_key(offer.version):
            raise InputError(
                f"{path} is {before}, newer than {offer.version}, the newest at {url}; "
                f"add --version {offer.version} to go back."
            )
        new = temporary_path(path)
        try:
            _fill(new, offer, output)
            if path.exists():
                path.rename(aside)
            new.rename(path)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            kept = _settle(path, aside) or kept
    return Installed(path, offer.version, before, kept)


def _settle(path: Path, aside: Path) -> Path | None:
    """End the replacement of a bundle's folder, whenever it stopped.

    Args:
        path: where the new folder belongs.
        aside: where the old one was moved; it is moved back where the new one has not come.

    Returns:
        Where the old folder is now, if it had files of the user's own; otherwise it is gone.
    """
    if not aside.exists():
        return None
    if not path.exists():
        aside.rename(path)
        return None
    if changed_files(aside) == []:
        # under a name that is swept, since half a folder would be taken for a changed one
        shutil.rmtree(aside.rename(temporary_path(path)))
        return None
    return aside.rename(_name_to_keep(path, _version_of(aside)))


def _fill(new: Path, offer: Offer, output: Path) -> None:
    """Make ``new`` the whole folder of the bundle on offer."""
    part = output / f".{offer.name}_v{offer.version}.{offer.sha256[:16]}.part"
    file_name = f"{offer.name}_v{offer.version}.zip"
    fetch(offer.url, part, file_name, limit=MAX_BYTES)
    digest = sha256_of(part, file_name)
    if digest != offer.sha256:
        part.unlink()
        raise InputError(
            f"{offer.url} has the sha256 {digest} instead of {offer.sha256} and was removed; "
            "it is damaged or was changed: ask who shares it."
        )
    archive = part.rename(new.with_name(f"{new.name}.zip"))
    try:
        root = unpack(archive, new)
    finally:
        archive.unlink()
    files = bundle_files(new)
    version = read_metadata(new)["version"]
    if (root, version) != (offer.name, offer.version):
        raise InputError(
            f"{offer.url} holds {root} {version}, not {offer.name} {offer.version}; ask who shares it."
        )
    if findings := screen(new):
        more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise InputError(
            f"{file_name} is refused, its {findings[0]}{more}; see docs/explanation/security.md."
        )
    record = {
        "name": offer.name,
        "version": offer.version,
        "url": offer.url,
        "sha256": offer.sha256,
        "files": {name: sha256(path) for name, path in files.items()},
    }
    write_text(new / RECORD, json.dumps(record, indent=4) + "\n")


def _offers(url: str, output: Path) -> list[Offer]:
    """What the server's list has to offer."""
    if url.endswith((".json", SUMS)):
        return _parsed(url, _read(url, output))
    folder = url if url.endswith("/") else f"{url}/"
    try:
        return _parsed(folder + INDEX, _read(folder + INDEX, output))
    except InputError as error:
        if not isinstance(error.__cause__, urllib.error.HTTPError) or error.__cause__.code != 404:
            raise
    return _parsed(folder + SUMS, _read(folder + SUMS, output))


def _read(url: str, output: Path) -> str:
    part = temporary_path(output / "list.part")
    try:
        fetch(url, part, url.rsplit("/", 1)[-1], limit=MAX_INDEX_BYTES)
        return part.read_text(encoding="utf-8", errors="replace")
    finally:
        part.unlink(missing_ok=True)


def _parsed(url: str, text: str) -> list[Offer]:
    try:
        entries = _model_info(text) if url.endswith(".json") else _sums(text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{url} is no list of bundles; give the address of what dermaseg pack wrote."
        ) from error
    offers = []
    for stem, digest, source in entries:
        name, mark, version = stem.rpartition("_v")
        if mark and is_name(name) and is_version(version) and re.fullmatch("[0-9a-f]{64}", digest):
            offers.append(Offer(name, version, urljoin(url, source), digest))
    return offers


def _model_info(text: str) -> list[tuple[str, str, str]]:
    return [(stem, entry["checksum"], entry["source"]) for stem, entry in json.loads(text).items()]


def _sums(text: str) -> list[tuple[str, str, str]]:
    lines = re.findall(r"^([0-9a-f]{64}) [ *](\S+\.zip)$", text, flags=re.MULTILINE)
    return [(file_name.removesuffix(".zip"), digest, file_name) for digest, file_name in lines]


def _chosen(offers: list[Offer], name: str, version: str | None) -> Offer:
    of_name = sorted(
        (offer for offer in offers if offer.name == name), key=lambda offer: version_key(offer.version)
    )
    if not of_name:
        names = sorted({offer.name for offer in offers})
        hint = nearest(name, names) or f"; it has {', '.join(names) or 'none at all'}"
        raise InputError(f"the server has no bundle called '{name}'{hint}.")
    if version is None:
        return of_name[-1]
    for offer in of_name:
        if offer.version == version:
            return offer
    known = ", ".join(offer.version for offer in of_name)
    raise InputError(f"the server has no version {version} of {name}; it has {known}.")


def _version_of(path: Path) -> str | None:
    try:
        return str(read_metadata(path)["version"])
    except InputError:
        return None


def _record(path: Path) -> dict[str, Any]:
    try:
        content = json.loads((path / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("files"), dict) else {}


def changed_files(folder: Path) -> list[str] | None:
    """Files of a downloaded bundle that are not as they were downloaded, or None where that is not recorded."""
    record = _record(folder)
    return _changed(folder, record) if record else None


def _changed(folder: Path, record: dict[str, Any]) -> list[str]:
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    present.pop(RECORD, None)
    names = {*present, *record["files"]}
    return sorted(
        name for name in names if name not in present or record["files"].get(name) != sha256(present[name])
    )


def _name_to_keep(path: Path, version: str | None) -> Path:
    """A free name beside a bundle's folder for what the user has changed in it."""
    name = f"{path.name}_v{version or 'unknown'}_kept"
    names = (
        path.with_name(f"{name}{suffix}") for suffix in ("", *(f"_{number}" for number in range(2, 1_000)))
    )
    free = next((free for free in names if not free.exists()), None)
    if free is None:
        raise InputError(f"there are too many kept copies beside {path}; move some away.")
    return free

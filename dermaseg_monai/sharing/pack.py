"""Packing of bundles into a folder of archives that any static web server can share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Template
from packaging.version import InvalidVersion, Version
from tqdm import tqdm

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.files import (
    WEIGHTS,
    archive_root,
    bundle_files,
    checked_metadata,
    is_name,
    read_metadata,
)
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.sharing.archive import checked_entries, open_archive, write_archive
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import sha256, sweep, write_text
from dermaseg_monai.utils.templates import page_template

INDEX = "model_info.json"
SUMS = "SHA256SUMS"
PAGE = "index.html"


@dataclass(frozen=True)
class Packed:
    """An archive in a folder that is shared.

    Attributes:
        path: of the archive.
        name: of its root folder.
        version: of the bundle.
        sha256: of the archive.
        size: of the archive in bytes.
        metadata: of the bundle.
        weights: "included", "elsewhere" (named in its large_files.yml) or "none".
    """

    path: Path
    name: str
    version: str
    sha256: str
    size: int
    metadata: dict[str, Any]
    weights: str

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.metadata.get("name") or self.name)

    @property
    def task(self) -> str:
        """What it segments, in short where the challenge's number is given."""
        task = str(self.metadata.get("task", ""))
        short = {"Task 1": "lesion boundary", "Task 2": "dermoscopic attributes"}
        return next((label for number, label in short.items() if number in task), task)

    @property
    def scores(self) -> dict[str, Any]:
        """Its scores by their names as people read them."""
        metrics = self.metadata.get("eval_metrics", {})
        return {str(name).replace("_", " ").capitalize(): value for name, value in dict(metrics).items()}


def pack(
    names: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    url: str | None = None,
) -> list[Packed]:
    """Write an archive per bundle, and lists of all archives in the folder.

    ``<name>_v<version>.zip`` holds the files that make the bundle in a folder ``<name>``, byte for byte the
    same whenever and wherever it is packed. ``model_info.json`` has the model zoo's form, ``SHA256SUMS`` is
    what ``sha256sum --check`` reads, ``index.html`` is for people. Archives of other bundles and versions
    that are in the folder already stay and are listed too.

    Args:
        names: bundles of the collection, or folders of bundles: also a study's variants and runs.
        output: the folder to share.
        url: the address it will have; needed where people run MONAI's own ``download`` from ``model_info.json``.

    Returns:
        The archives that were written.

    Raises:
        InputError: a bundle is unknown or incomplete, two have one name, or an archive in ``output`` is none
            of a bundle.
    """
    if url is not None and not url.startswith(("https://", "http://")):
        raise InputError(f"--url must start with https:// or http://, not {url!r}.")
    output = Path(output)
    sweep(output)
    wanted: dict[str, Path] = {}
    for folder in map(bundle_folder, names):
        name = archive_root(folder)
        if wanted.setdefault(name, folder).resolve() != folder.resolve():
            raise InputError(f"{wanted[name]} and {folder} would both be {name}; pack them into two folders.")
    written = []
    for name, folder in tqdm(wanted.items(), desc="packing", unit="bundle", disable=None):
        path = output / f"{name}_v{read_metadata(folder)['version']}.zip"
        write_archive(path, name, _shared_files(folder))
        written.append(path)
    paths = tqdm(sorted(output.glob("[!.]*.zip")), desc="listing", unit="archive", disable=None)
    archives = [read_packed(path) for path in paths]
    archives.sort(key=_order)
    _write_lists(output, archives, url)
    return [archive for archive in archives if archive.path in written]


def all_bundles() -> list[Path]:
    """Folders of every bundle of the collection, then of every variant of a study beside them."""
    folders = [bundle_folder(bundle.name) for bundle in BUNDLES]
    variants = {path.parents[1] for path in folders[0].parent.glob("ablations/*/*/configs/metadata.json")}
    return [*folders, *sorted(variants)]


def read_packed(path: Path) -> Packed:
    """Read what an archive says of itself.

    Raises:
        InputError: it is not the archive of a bundle, or not named after it.
    """
    try:
        with open_archive(path) as archive:
            name, files = checked_entries(archive)
            if "configs/metadata.json" not in files:
                raise InputError("it has no configs/metadata.json.")
            metadata = checked_metadata(
                archive.read(files["configs/metadata.json"]), "its configs/metadata.json"
            )
    except (InputError, OSError) as error:
        raise InputError(f"{path} is not the archive of a bundle: {error}") from error
    if path.name != f"{name}_v{metadata['version']}.zip" or not is_name(name):
        raise InputError(
            f"{path} holds {name} {metadata['version']}; name it {name}_v{metadata['version']}.zip or move it away."
        )
    weights = "included" if WEIGHTS in files else "elsewhere" if "large_files.yml" in files else "none"
    digest = sha256(path)
    return Packed(path, name, metadata["version"], digest, path.stat().st_size, metadata, weights)


def version_key(version: str) -> tuple[int, Version, str]:
    """What versions are ordered by: as versions where they are such (1.10 after 1.9), those that are not first."""
    try:
        return 1, Version(version), version
    except InvalidVersion:
        return 0, Version("0"), version


def _shared_files(folder: Path) -> dict[str, Path]:
    files = bundle_files(folder)
    if WEIGHTS in files:
        # where they are downloaded from is of no use to one who has them
        files.pop("large_files.yml", None)
    return files


def _order(archive: Packed) -> tuple[bool, int, str, tuple[int, Version, str]]:
    """As in the catalogue, then by name; those without weights after those with."""
    known = [bundle.name for bundle in BUNDLES]
    position = known.index(archive.name) if archive.name in known else len(known)
    return archive.weights == "none", position, archive.name, version_key(archive.version)


def _write_lists(output: Path, archives: Iterable[Packed], url: str | None) -> None:
    base = url.rstrip("/") + "/" if url else ""
    by_file = sorted(archives, key=lambda archive: archive.path.name)
    info = {
        archive.path.stem: {"checksum": archive.sha256, "source": base + quote(archive.path.name)}
        for archive in by_file
    }
    sums = "".join(f"{archive.sha256}  {archive.path.name}\n" for archive in by_file)
    write_text(output / INDEX, json.dumps(info, indent=4) + "\n")
    write_text(output / SUMS, sums)
    write_text(output / PAGE, _template().render(archives=list(archives), url=base))


@cache
def _template() -> Template:
    source = resources.files("dermaseg_monai.sharing") / "index.html.j2"
    return page_template(source.read_text(encoding="utf-8"), {"bytes": _human_size})


def _human_size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"

"""The files that belong to a bundle, apart from what runs leave in its folder; torch-free."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from dermaseg_monai.utils.errors import InputError

REQUIRED = ("configs/metadata.json", "configs/inference.json", "docs/README.md", "LICENSE")
"""Files without which a folder is no bundle."""

WEIGHTS = "models/model.pt"

RECORD = ".origin.json"
"""What ``dermaseg get`` notes in the folder: where it is from, and the SHA-256 of each file."""

# a run leaves output/, caches, last.pt and more beside these: what is not named here is no part of the bundle
_PARTS = (
    r"LICENSE",
    r"README\.md",  # the model card that push_to_hf_hub writes
    r"large_files\.yml",
    r"configs/\w[\w.-]*\.json",
    r"configs/logging\.conf",
    r"docs/[\w-]+\.(md|txt)",
    r"models/model\.pt",
    r"models/thresholds\.json",
    r"models/calibration\.json",
)
_NAME = re.compile(r"\w[\w-]*")


def is_part(path: str) -> bool:
    """Whether a file of a bundle's folder (its path there, with ``/``) belongs to the bundle."""
    return any(re.fullmatch(pattern, path, re.ASCII) for pattern in _PARTS)


def bundle_files(folder: Path) -> dict[str, Path]:
    """The files that make a bundle, by their path in its folder, in the order of these paths.

    Raises:
        InputError: a required file is missing.
    """
    files = {}
    for parent in (folder, folder / "configs", folder / "docs", folder / "models"):
        for path in parent.iterdir() if parent.is_dir() else ():
            name = path.relative_to(folder).as_posix()
            if is_part(name) and path.is_file():
                files[name] = path
    missing = [name for name in REQUIRED if name not in files]
    if missing:
        raise InputError(f"{folder} is no bundle: it has no {', '.join(missing)}.")
    return dict(sorted(files.items()))


def read_metadata(folder: Path) -> dict[str, Any]:
    """A bundle's metadata, with a version and a name that can be parts of a file's name.

    Raises:
        InputError: the file is unreadable, is no JSON, or has no usable version.
    """
    path = folder / "configs" / "metadata.json"
    try:
        return checked_metadata(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def checked_metadata(data: bytes, where: str) -> dict[str, Any]:
    """Read the bytes of a metadata.json.

    Raises:
        InputError: it is no JSON object, or has no usable version.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}).") from error
    version = content.get("version") if isinstance(content, dict) else None
    if not isinstance(version, str) or not is_version(version):
        raise InputError(f"{where} has no usable version: {version!r}.")
    return content


def archive_root(folder: str | os.PathLike[str]) -> str:
    """The name a bundle's folder is shared under.

    That of the folder; for a variant of a study and for a run of one, whose folders only have a name within
    the study, the names below ``ablations`` joined by ``_``: ``loss_dice``, ``loss_dice_seed0``.

    Raises:
        InputError: the name has characters that not every file system and address takes.
    """
    parts = Path(folder).resolve().parts
    if "ablations" in parts[:-1]:
        after = len(parts) - parts[::-1].index("ablations")
        name = "_".join(parts[after:])
    else:
        name = parts[-1]
    if not is_name(name):
        raise InputError(
            f"'{name}' cannot be a bundle's name; use letters, digits, '_' and '-' for {folder}."
        )
    return name


def is_name(name: str) -> bool:
    """Whether ``name`` can be that of a shared bundle: letters, digits, ``_`` and ``-``."""
    return re.fullmatch(_NAME, name) is not None and name.isascii()


def is_version(version: str) -> bool:
    """Whether ``version`` can be part of an archive's name: a digit, then letters, digits, ``.``, ``+`` and ``-``."""
    return re.fullmatch(r"\d[\w.+-]*", version, re.ASCII) is not None

"""Record of a run, ``run.json``: its settings, its state, and the machine it was made on."""

from __future__ import annotations

import csv
import json
import platform
import subprocess
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import dermaseg_monai
from dermaseg_monai.utils.files import write_text

_PACKAGES = (
    "dermaseg-monai",
    "monai",
    "numpy",
    "pandas",
    "pillow",
    "pytorch-ignite",
    "scipy",
    "torch",
    "torchvision",
)


def read_record(folder: Path) -> dict[str, Any]:
    """The content of a run folder's ``run.json``; nothing where there is none."""
    path = folder / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write ``run.json`` in one step."""
    write_text(folder / "run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def read_history(folder: Path) -> list[dict[str, float]]:
    """The epochs of a run so far, each a row of its ``history.csv``; empty cells are left out."""
    path = folder / "output" / "history.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            {name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)
        ]


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Python, platform and the versions of the packages that a training depends on."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": packages}


@cache
def git_revision() -> str | None:
    """The commit of the checkout that this package runs from, with ``-dirty`` where files differ from it."""
    root = Path(dermaseg_monai.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()

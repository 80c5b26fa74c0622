"""Prepared folders as tests look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from tests.datasets.layout import encode, folders

IDS = [f"CASE_{index:04d}" for index in range(8)]
PHOTOS, LESIONS, MARKS = folders("Training").values()


def datalist(output: Path) -> dict[str, Any]:
    return json.loads((output / "datalist.json").read_text())


def items(output: Path) -> dict[str, dict[str, Any]]:
    content = datalist(output)
    return {item["id"]: item for section in ("training", "validation", "test") for item in content[section]}


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    stamps = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            stamps[str(path.relative_to(folder))] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return stamps


class CountingDecoder:
    """Stands in for ``Image.open`` and counts what is decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.open = Image.open
        monkeypatch.setattr(Image, "open", self)

    def __call__(self, stream: IO[bytes], **options: Any) -> Image.Image:
        self.calls += 1
        return self.open(stream, **options)


def truncated(files: dict[str, bytes]) -> None:
    files[f"{PHOTOS}/CASE_0002.jpg"] = files[f"{PHOTOS}/CASE_0002.jpg"][:-400]


def faint(files: dict[str, bytes]) -> None:
    levels = np.arange(48 * 32, dtype=np.uint8).reshape(32, 48) // 2
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = encode(Image.fromarray(levels), "PNG")

"""Algorithm of a derived object: the bundle, its weights and its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermaseg_monai.utils.files import sha256

MANUFACTURER = "DermaSeg-MONAI"


@dataclass(frozen=True)
class Algorithm:
    """A bundle, as derived objects name it.

    Attributes:
        name: the bundle's.
        version: the bundle's.
        checksum: SHA-256 of its inference.json, weights and settings, in hexadecimal digits.
    """

    name: str
    version: str
    checksum: str

    @property
    def description(self) -> str:
        """For series and contents, 64 characters at most."""
        return f"{self.name[:44]}, research use only"


def describe_algorithm(folder: Path, weights: Path, overrides: Mapping[str, Any]) -> Algorithm:
    """Name a bundle's algorithm.

    Args:
        folder: the bundle's.
        weights: folder of its ``model.pt``.
        overrides: settings that differ from the bundle's; the device and batch size make no difference.

    Returns:
        The same for the same files and settings, wherever they lie.
    """
    digest = hashlib.sha256()
    files = (folder / "configs" / "inference.json", weights / "model.pt", weights / "thresholds.json")
    for file in files:
        digest.update(sha256(file).encode() if file.is_file() else b"-")
    settings = {name: value for name, value in overrides.items() if name not in _INDIFFERENT}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return Algorithm(folder.resolve().name, str(metadata["version"]), digest.hexdigest())


_INDIFFERENT = {"ckpt_dir", "device", "batch_size", "amp"}

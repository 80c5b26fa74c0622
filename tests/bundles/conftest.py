"""One small phantom dataset, prepared once and used by every bundle."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dermaseg_monai.datasets import prepare
from dermaseg_monai.datasets.phantoms import write_phantoms


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is fetched, and nothing that was fetched earlier is there."""

    def refuse(*arguments: object) -> None:
        raise OSError(f"no network in these tests: {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(socket, "create_connection", refuse)
        patch.setattr(torch.hub, "_hub_dir", str(tmp_path_factory.mktemp("hub")))
        yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of phantoms for both tasks."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder / "official", count=24, size=128)
    prepare(folder / "official", folder / "prepared", task="both")
    return folder / "prepared"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """Photos of odd sizes, formats and modes, one of them damaged."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    sources = sorted((prepared / "images").iterdir())
    Image.open(sources[0]).resize((301, 207)).save(folder / "odd.JPG")
    Image.open(sources[1]).convert("L").resize((99, 140)).save(folder / "grey portrait.png")
    Image.open(sources[2]).convert("CMYK").save(folder / "cmyk.tif")
    Image.open(sources[3]).resize((64, 64)).save(folder / "small.bmp")
    (folder / "damaged.jpg").write_bytes(sources[4].read_bytes()[:900])
    return folder

"""The clients in the documentation, run against the real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dermaseg_monai.datasets.phantoms import render_phantom
from tests.app.server import Served, served

pytest.importorskip("fastapi", reason="FastAPI is not installed")
pytest.importorskip("httpx2", reason="httpx2 is not installed")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-the-interface.md"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("photo.jpg", "another.png")):
        Image.fromarray(render_phantom(seed, (60, 80)).image).save(tmp_path / name)
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=120).stdout


def code(language: str, app: Served) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return block.replace("http://127.0.0.1:7860", app.url)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(app: Served, folder: Path) -> None:
    (photo,) = json.loads(run(["bash", "-c", code("bash", app)], folder))["photos"]
    assert (photo["name"], photo["width"]) == ("photo.jpg", 80)
    assert photo["uncertainty"]["map"]


def test_python(app: Served, folder: Path) -> None:
    text = code("python", app)
    assert len(text.strip().splitlines()) <= 21
    output = run([sys.executable, "-c", text], folder)
    assert [line.split()[0] for line in output.splitlines()] == ["photo.jpg", "another.png"]
    assert Image.open(folder / "photo.mask.png").size == (80, 60)

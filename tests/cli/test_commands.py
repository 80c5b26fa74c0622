"""The dermaseg command as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dermaseg_monai.bundle.catalogue import BUNDLES


def dermaseg(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dermaseg_monai", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_phantoms_are_prepared(tmp_path: Path) -> None:
    made = dermaseg("phantom", "--output", tmp_path / "official", "--count", 6, "--size", 64)
    assert made.returncode == 0, made.stderr
    finished = dermaseg(
        "prepare", "--source", tmp_path / "official", "--output", tmp_path / "ready", "--task", "both"
    )
    assert finished.returncode == 0, finished.stderr
    datalist = json.loads((tmp_path / "ready" / "datalist.json").read_text())
    assert sum(len(datalist[section]) for section in ("training", "validation", "test")) == 6


def test_help_lists_every_command() -> None:
    shown = dermaseg("--help")
    assert shown.returncode == 0
    for name in ("app", "bundles", "prepare", "study", "verify"):
        assert f"\n     {name}\n" in shown.stdout + shown.stderr


def test_words_joined_by_a_hyphen() -> None:
    shown = dermaseg("compare-prompts", "--help")
    assert shown.returncode == 0
    assert "DATASET_DIR" in shown.stdout + shown.stderr


def test_bundles_as_json() -> None:
    listed = json.loads(dermaseg("bundles", "--json").stdout)
    assert [entry["name"] for entry in listed] == [bundle.name for bundle in BUNDLES]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("prepare", "--source", "/nowhere", "--output", "out"), "/nowhere"),
        (("predict", "/nowhere", "--output", "out", "--bundle", "lesion_vnet"), "'lesion_vnet' is neither"),
        (("download", "isic2017", "--output", "out"), "no dataset 'isic2017'"),
    ],
)
def test_mistakes_cost_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    failed = dermaseg(*words)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    last = failed.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert sentence in last

"""Files that other programs read about the project: citation, workflow, hooks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

import dermaseg_monai

ROOT = Path(__file__).parents[1]


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version() -> None:
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= citation.keys()
    assert citation["version"] == dermaseg_monai.__version__
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= reference.keys()


def test_the_workflow_runs_the_tests() -> None:
    (job,) = read(".github/workflows/test.yml")["jobs"].values()
    assert any(".ci/run" in step.get("run", "") for step in job["steps"])
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_hooks_are_those_of_the_lint() -> None:
    (ruff,) = read(".pre-commit-config.yaml")["repos"]
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:")[1].split("\n\n")[0]
    assert "ruff check" in lint
    assert "ruff format" in lint

"""Examples in the docstrings of the public pieces: each has one, and each gives what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

PACKAGES = ("networks", "losses", "metrics", "optimizers", "transforms", "inferers")


def public(package: str) -> list[Any]:
    """The classes and functions that a package exports."""
    module = importlib.import_module(f"dermaseg_monai.{package}")
    members = [getattr(module, name) for name in module.__all__]
    return [member for member in members if inspect.isclass(member) or inspect.isfunction(member)]


@pytest.mark.parametrize(
    "component",
    [pytest.param(member, id=member.__name__) for package in PACKAGES for member in public(package)],
)
def test_the_example(component: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some write a file
    names = vars(importlib.import_module(component.__module__))
    (example,) = doctest.DocTestFinder(recurse=False).find(component, component.__name__, globs=names)
    assert example.examples, f"the docstring of {component.__name__} has no example"
    messages: list[str] = []
    failed = doctest.DocTestRunner(verbose=False).run(example, out=messages.append).failed
    assert not failed, "".join(messages)

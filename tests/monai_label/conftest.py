"""A real MONAI Label server for the tests, spoken to over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.datasets.phantoms import write_phantoms
from tests.monai_label.server import Server


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter of MONAI Label's environment."""
    interpreter = os.environ.get("DERMASEG_LABEL_PYTHON")
    if not interpreter:
        pytest.skip("DERMASEG_LABEL_PYTHON names no Python that has MONAI Label: run `make test-label`")
    return interpreter


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small phantoms in the official layout."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, count=8, size=96)
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Show the end of the server's log with a failure."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Server):
                report.sections.append(("end of the server's log", value.log_end()))
    return report

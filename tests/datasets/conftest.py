from __future__ import annotations

import pytest

from tests.datasets.layout import official_files
from tests.datasets.prepared import IDS


@pytest.fixture
def files() -> dict[str, bytes]:
    return official_files(IDS)

"""What downloading a single file promises beyond the official archives' tests in tests/data/test_download.py."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dermaseg_monai.utils import download as module
from dermaseg_monai.utils.download import fetch, sha256_of
from dermaseg_monai.utils.errors import InputError
from tests.web import running_server

DATA = bytes(range(256)) * 40_000


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_SECONDS", 0.0)


@pytest.mark.parametrize("url", ["http://[::1/x", "http://127.0.0.1:abc/x", "http://a b/x"])
def test_what_is_no_address_is_refused_at_once(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no address"):
        fetch(url, tmp_path / "part", "x")


def test_broken_lines_are_taken_up(tmp_path: Path) -> None:
    with running_server() as server:
        server.files["data"] = DATA
        server.break_after = [1_000_000, 3_000_000]
        fetch(f"{server.url}data", tmp_path / "data", "data")
        assert [wanted for _, wanted in server.requests] == [None, "bytes=1000000-", "bytes=4000000-"]
    assert sha256_of(tmp_path / "data", "data") == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("announced", [True, False])
def test_limit_holds_whether_or_not_the_length_is_announced(tmp_path: Path, announced: bool) -> None:
    with running_server() as server:
        server.files["data"] = DATA
        server.announce = announced
        with pytest.raises(InputError, match="longer than the 5,000,000 bytes"):
            fetch(f"{server.url}data", tmp_path / "data", "data", limit=5_000_000)
        size = (tmp_path / "data").stat().st_size if (tmp_path / "data").exists() else 0
        assert size <= 5_000_000
        fetch(f"{server.url}data", tmp_path / "whole", "data", limit=len(DATA))
    assert (tmp_path / "whole").read_bytes() == DATA


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/data", "data", "/etc/hostname"])
def test_only_web_addresses(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="must start with https://"):
        fetch(url, tmp_path / "data", "data")
    assert not (tmp_path / "data").exists()

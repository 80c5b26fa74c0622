from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dermaseg_monai.datasets import download
from dermaseg_monai.datasets.isic2018 import ARCHIVES, BASE_URL, Archive, kinds
from dermaseg_monai.utils import download as download_module
from dermaseg_monai.utils.errors import InputError
from tests.web import Server, running_server

NAME = "ISIC2018_Task1_Training_GroundTruth.zip"


def archive_bytes(seed: int = 0, count: int = 3) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index in range(count):
            archive.writestr(f"folder/{index}.png", np.random.default_rng([seed, index]).bytes(30_000))
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def data(server: Server, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The lesion archive that the server has, with its checksum known; the photos are there as well."""
    data, photos = archive_bytes(), archive_bytes(seed=1)
    server.files = {NAME: data, "ISIC2018_Task1-2_Training_Input.zip": photos}
    known = {
        ("training", "image"): Archive("ISIC2018_Task1-2_Training_Input", len(photos), sha256(photos)),
        ("training", "lesion"): Archive("ISIC2018_Task1_Training_GroundTruth", len(data), sha256(data)),
    }
    monkeypatch.setattr(download, "ARCHIVES", known)
    monkeypatch.setattr(download_module, "BACKOFF_SECONDS", 0.0)
    return data


@pytest.fixture
def unknown(data: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The same without any published size or checksum."""
    folders = {key: Archive(archive.folder) for key, archive in download.ARCHIVES.items()}
    monkeypatch.setattr(download, "ARCHIVES", folders)
    return data


def fetch(server: Server, output: Path) -> Path:
    photos, lesions = download.download_isic2018(output, "lesion", base_url=server.url)
    assert photos.name == "ISIC2018_Task1-2_Training_Input.zip"
    return lesions


def ranges(server: Server) -> list[str | None]:
    return [wanted for name, wanted in server.requests if name == NAME]


def test_official_addresses() -> None:
    assert BASE_URL == "https://isic-challenge-data.s3.amazonaws.com/2018/"
    assert len({archive.file_name for archive in ARCHIVES.values()}) == 9
    assert ARCHIVES["training", "attribute"].file_name == "ISIC2018_Task2_Training_GroundTruth_v3.zip"
    for archive in ARCHIVES.values():
        assert archive.sha256 is None or re.fullmatch("[0-9a-f]{64}", archive.sha256)
    assert kinds("both") == ("image", "lesion", "attribute")


def test_archives_are_fetched_whole(tmp_path: Path, server: Server, data: bytes) -> None:
    path = fetch(server, tmp_path / "new" / "folder")
    assert path.read_bytes() == data
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(
        f"{name}{ending}" for name in server.files for ending in ("", ".sha256")
    )
    assert path.with_name(f"{NAME}.sha256").read_text() == f"{sha256(data)}  {NAME}\n"


def test_complete_archives_are_not_fetched_again(tmp_path: Path, server: Server, data: bytes) -> None:
    before = fetch(server, tmp_path).stat()
    server.requests.clear()
    after = fetch(server, tmp_path).stat()
    assert server.requests == []
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_broken_connections_are_taken_up(tmp_path: Path, server: Server, data: bytes) -> None:
    fetch(server, tmp_path)
    (tmp_path / NAME).unlink()
    server.requests.clear()
    server.break_after = [20_000, 0, 30_000]
    assert fetch(server, tmp_path).read_bytes() == data
    assert ranges(server) == [None, "bytes=20000-", "bytes=20000-", "bytes=50000-"]


def test_breaks_that_bring_bytes_are_no_failures(
    tmp_path: Path, server: Server, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "ATTEMPTS", 2)
    server.break_after = [9_000] * 15
    assert fetch(server, tmp_path).read_bytes() == data
    assert server.break_after == []


def test_run_that_gave_up_is_taken_up(
    tmp_path: Path, server: Server, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(server, tmp_path)
    (tmp_path / NAME).unlink()
    monkeypatch.setattr(download_module, "ATTEMPTS", 3)
    server.break_after = [40_000, 0, 0]
    with pytest.raises(InputError, match=r"failed 3 times in a row.*40,000 bytes"):
        fetch(server, tmp_path)
    assert not (tmp_path / NAME).exists()
    assert (tmp_path / f"{NAME}.part").stat().st_size == 40_000
    server.requests.clear()
    assert fetch(server, tmp_path).read_bytes() == data
    assert ranges(server) == ["bytes=40000-"]
    assert not (tmp_path / f"{NAME}.part").exists()


def test_complete_part_needs_no_more_bytes(tmp_path: Path, server: Server, data: bytes) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(data)
    assert fetch(server, tmp_path).read_bytes() == data
    assert ranges(server) == [f"bytes={len(data)}-"]


def test_part_of_something_longer_is_dropped(tmp_path: Path, server: Server, data: bytes) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(data + b"more")
    assert fetch(server, tmp_path).read_bytes() == data
    assert ranges(server) == [f"bytes={len(data) + 4}-", None]


@pytest.mark.parametrize("fault", ["ranges", "lie_about_start"])
def test_server_that_sends_the_whole_file_again(
    tmp_path: Path, server: Server, data: bytes, fault: str
) -> None:
    setattr(server, fault, fault != "ranges")
    (tmp_path / f"{NAME}.part").write_bytes(data[:10_000])
    assert fetch(server, tmp_path).read_bytes() == data
    assert ranges(server) == ["bytes=10000-"]


def test_busy_server_is_asked_again(tmp_path: Path, server: Server, data: bytes) -> None:
    server.statuses = [503, 500, 429]
    assert fetch(server, tmp_path).read_bytes() == data


def test_pauses_grow(tmp_path: Path, server: Server, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download_module, "BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(download_module.time, "sleep", pauses.append)
    server.statuses = [503, 503, 503]
    fetch(server, tmp_path)
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize("status", [403, 404])
def test_missing_file_ends_at_once(tmp_path: Path, server: Server, data: bytes, status: int) -> None:
    server.statuses = [status] * 2
    with pytest.raises(InputError, match=rf"{status} .*check the address"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_server_that_is_not_there(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "ATTEMPTS", 2)
    with pytest.raises(InputError, match="failed 2 times in a row"):
        download.download_isic2018(tmp_path, "lesion", base_url="http://127.0.0.1:9/")


def test_corrupted_body_never_gets_the_name(tmp_path: Path, server: Server, data: bytes) -> None:
    server.files[NAME] = data[:500] + b"\xff\x00" + data[502:]
    with pytest.raises(
        InputError, match=rf"{NAME} as downloaded has the sha256 .* instead of {sha256(data)}"
    ):
        fetch(server, tmp_path)
    assert not list(tmp_path.glob(f"{NAME}*"))
    server.files[NAME] = data
    assert fetch(server, tmp_path).read_bytes() == data


def test_body_of_another_size(tmp_path: Path, server: Server, data: bytes) -> None:
    server.files[NAME] = data + b"!"
    with pytest.raises(InputError, match=f"has {len(data) + 1:,} bytes instead of {len(data):,}"):
        fetch(server, tmp_path)
    assert not list(tmp_path.glob(f"{NAME}*"))


def test_archive_that_changed_on_disk(tmp_path: Path, server: Server, data: bytes) -> None:
    path = fetch(server, tmp_path)
    path.write_bytes(data[:-1] + b"\xff")
    with pytest.raises(InputError, match="delete it and run the same command again"):
        fetch(server, tmp_path)
    assert path.exists()


def test_recorded_checksum_stands_in_for_an_unpublished_one(
    tmp_path: Path, server: Server, unknown: bytes
) -> None:
    path = fetch(server, tmp_path)
    assert path.with_name(f"{NAME}.sha256").read_text() == f"{sha256(unknown)}  {NAME}\n"
    assert fetch(server, tmp_path) == path
    path.write_bytes(archive_bytes(seed=7))  # a sound archive, but another one
    with pytest.raises(InputError, match=f"instead of {sha256(unknown)}"):
        fetch(server, tmp_path)


@pytest.mark.parametrize("damage", ["body", "end", "page"])
def test_archive_without_checksum_must_be_sound(
    tmp_path: Path, server: Server, unknown: bytes, damage: str
) -> None:
    server.files[NAME] = {
        "body": unknown[:500] + b"\xff\x00" + unknown[502:],
        "end": unknown[:-400],
        "page": b"<html>sign in first</html>",
    }[damage]
    with pytest.raises(
        InputError, match="is damaged at folder/0.png" if damage == "body" else "not a whole zip"
    ):
        fetch(server, tmp_path)
    assert not list(tmp_path.glob(f"{NAME}*"))


def test_full_disk(tmp_path: Path, server: Server, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(InputError, match="10 bytes free"):
        fetch(server, tmp_path)


def test_wrong_arguments(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="lesion, attribute, both"):
        download.download_isic2018(tmp_path, task="task3")
    with pytest.raises(InputError, match="training, validation, test"):
        download.download_isic2018(tmp_path, sections=("train",))
    with pytest.raises(InputError, match="training, validation, test"):
        download.download_isic2018(tmp_path, sections=())
    with pytest.raises(InputError, match="https://"):
        download.download_isic2018(tmp_path, base_url="file:///etc/")
    with pytest.raises(InputError, match="is a file"):
        download.download_isic2018(tmp_path / "file")


def test_one_section_may_be_a_plain_name(tmp_path: Path, server: Server, data: bytes) -> None:
    paths = download.download_isic2018(tmp_path, "lesion", "training", server.url)
    assert [path.name for path in paths] == list(reversed(server.files))

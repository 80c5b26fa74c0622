"""Getting bundles from a web server on this machine: what comes, what is refused, and what an interruption leaves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.sharing.install import changed_files, install
from dermaseg_monai.sharing.pack import pack
from dermaseg_monai.utils import download
from dermaseg_monai.utils.errors import InputError
from tests.web import Server, running_server

NAME = "own_bundle"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.0)
    with running_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / NAME
    left_out = shutil.ignore_patterns("dictionary_train.json", "multi_gpu_train.json", "evaluate.json")
    shutil.copytree(bundle_folder("lesion_mobilenetv2_unet"), folder, ignore=left_out)
    return folder


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


def share(server: Server, folder: Path, version: str, **metadata: Any) -> None:
    """Pack the folder as a version and put all that is in the list on the server."""
    path = folder / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "version": version, "changelog": {version: "new"}, **metadata}))
    pack([folder], folder.parent / "dist")
    server.files = {file.name: file.read_bytes() for file in (folder.parent / "dist").iterdir()}


def version_of(path: Path) -> str:
    return str(json.loads((path / "configs" / "metadata.json").read_text())["version"])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_newest_by_number_or_the_one_asked_for(server: Server, folder: Path, bundles: Path) -> None:
    for version in ("0.9.0", "0.10.0"):
        share(server, folder, version)
    installed = install(NAME, server.url, bundles)
    assert (installed.version, installed.replaced, installed.kept) == ("0.10.0", None, None)
    assert (bundles / NAME / "models" / "model.pt").read_bytes() == (
        folder / "models" / "model.pt"
    ).read_bytes()
    again = install(NAME, server.url, bundles)
    assert not again.fetched
    older = install(NAME, server.url.rstrip("/"), bundles, version="0.9.0")
    assert (older.version, older.replaced) == ("0.9.0", "0.10.0")
    assert version_of(bundles / NAME) == "0.9.0"
    assert names(bundles) == [NAME]


@pytest.mark.parametrize("listing", ["model_info.json", "SHA256SUMS"])
def test_either_list_will_do(server: Server, folder: Path, bundles: Path, listing: str) -> None:
    share(server, folder, "0.1.0")
    for other in {"model_info.json", "SHA256SUMS"} - {listing}:
        del server.files[other]
    assert install(NAME, server.url, bundles).fetched
    assert not install(NAME, server.url + listing, bundles).fetched


def test_newer_than_the_server_stays(server: Server, folder: Path, bundles: Path) -> None:
    share(server, folder, "0.1.0")
    older = dict(server.files)
    share(server, folder, "0.2.0")
    install(NAME, server.url, bundles)
    server.files = older
    with pytest.raises(InputError, match=r"newer than 0\.1\.0.*add --version 0\.1\.0"):
        install(NAME, server.url, bundles)
    assert version_of(bundles / NAME) == "0.2.0"


def test_what_the_user_changed_is_kept(server: Server, folder: Path, bundles: Path) -> None:
    share(server, folder, "0.1.0")
    path = install(NAME, server.url, bundles).path
    assert changed_files(path) == []
    (path / "models" / "model.pt").write_bytes(b"trained here")
    (path / "output").mkdir()
    (path / "output" / "metrics.csv").write_text("mine")
    assert changed_files(path) == ["models/model.pt", "output/metrics.csv"]
    share(server, folder, "0.2.0")
    installed = install(NAME, server.url, bundles)
    assert installed.kept == bundles / f"{NAME}_v0.1.0_kept"
    assert (installed.kept / "models" / "model.pt").read_bytes() == b"trained here"
    assert (installed.kept / "output" / "metrics.csv").read_text() == "mine"
    assert version_of(path) == "0.2.0"
    assert names(bundles) == [NAME, f"{NAME}_v0.1.0_kept"]


def test_interrupted_download_goes_on(
    server: Server, folder: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(server, folder, "0.1.0")
    install(NAME, server.url, bundles)
    share(server, folder, "0.2.0")
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    list_size = len(server.files["model_info.json"])
    server.break_after = [list_size, 2_000_000]
    with pytest.raises(InputError, match="to go on after the 2,000,000 bytes"):
        install(NAME, server.url, bundles)
    assert version_of(bundles / NAME) == "0.1.0"
    assert changed_files(bundles / NAME) == []
    assert install(NAME, server.url, bundles).version == "0.2.0"
    assert server.requests[-1] == (f"{NAME}_v0.2.0.zip", "bytes=2000000-")
    assert names(bundles) == [NAME]


def test_killed_download_leaves_the_old_bundle(server: Server, folder: Path, bundles: Path) -> None:
    share(server, folder, "0.1.0")
    install(NAME, server.url, bundles)
    share(server, folder, "0.2.0")
    server.pause_after = 3_000_000
    command = [
        sys.executable,
        "-m",
        "dermaseg_monai",
        "get",
        NAME,
        "--from",
        server.url,
        "--output",
        str(bundles),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert server.paused.wait(timeout=120)
    finally:
        process.kill()
        process.wait(timeout=30)
    server.pause_after = 0
    server.resumed.set()
    assert version_of(bundles / NAME) == "0.1.0"
    assert changed_files(bundles / NAME) == []
    assert install(NAME, server.url, bundles).version == "0.2.0"
    assert names(bundles) == [NAME]


def test_a_kill_while_folders_change_places_is_mended(server: Server, folder: Path, bundles: Path) -> None:
    share(server, folder, "0.1.0")
    path = install(NAME, server.url, bundles).path
    aside = path.rename(bundles / f".{NAME}.old")  # killed before the new folder came
    with pytest.raises(InputError, match=r"no version 9\.9"):
        install(NAME, server.url, bundles, version="9.9")
    assert names(bundles) == [NAME]
    assert not install(NAME, server.url, bundles).fetched
    shutil.copytree(path, aside)  # killed before the old folder was deleted
    assert not install(NAME, server.url, bundles).fetched
    assert names(bundles) == [NAME]
    shutil.copytree(path, aside)
    (aside / "models" / "model.pt").write_bytes(b"trained here")
    assert not install(NAME, server.url, bundles).fetched
    assert names(bundles) == [NAME, f"{NAME}_v0.1.0_kept"]
    assert (bundles / f"{NAME}_v0.1.0_kept" / "models" / "model.pt").read_bytes() == b"trained here"


def refused(server: Server, bundles: Path, match: str) -> None:
    """Getting it fails and leaves nothing."""
    with pytest.raises(InputError, match=match):
        install(NAME, server.url, bundles)
    assert names(bundles) == []


def listed(server: Server, data: bytes) -> None:
    """Put other bytes in the archive's place, with the right checksum in the list."""
    from hashlib import sha256

    info = json.loads(server.files["model_info.json"])
    info[f"{NAME}_v0.1.0"]["checksum"] = sha256(data).hexdigest()
    server.files["model_info.json"] = json.dumps(info).encode()
    server.files[f"{NAME}_v0.1.0.zip"] = data


def test_other_bytes_than_listed_are_refused(server: Server, folder: Path, bundles: Path) -> None:
    share(server, folder, "0.1.0")
    server.files[f"{NAME}_v0.1.0.zip"] = server.files[f"{NAME}_v0.1.0.zip"][:-1] + b"x"
    refused(server, bundles, "instead of .* and was removed")


@pytest.mark.parametrize("name", ["../evil", f"{NAME}/../../evil", "/etc/evil", f"{NAME}/configs/a\\b.json"])
def test_archive_that_steps_out_is_refused(
    server: Server, folder: Path, bundles: Path, tmp_path: Path, name: str
) -> None:
    share(server, folder, "0.1.0")
    path = tmp_path / "dist" / f"{NAME}_v0.1.0.zip"
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, b"evil")
    listed(server, path.read_bytes())
    refused(server, bundles, "the archive is refused")
    assert not (tmp_path / "evil").exists()


def test_archive_that_is_another_is_refused(
    server: Server, folder: Path, bundles: Path, tmp_path: Path
) -> None:
    share(server, folder, "0.1.0")
    shutil.copytree(folder, tmp_path / "other_bundle")
    (packed,) = pack([tmp_path / "other_bundle"], tmp_path / "others")
    listed(server, packed.path.read_bytes())
    refused(server, bundles, r"holds other_bundle 0\.1\.0, not own_bundle")
    listed(server, b"no zip at all")
    refused(server, bundles, "is not a whole zip archive")


def test_bundle_that_the_screen_stops_is_refused(server: Server, folder: Path, bundles: Path) -> None:
    path = folder / "configs" / "inference.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "x": "$__import__('os').system('id')"}))
    share(server, folder, "0.1.0")
    refused(server, bundles, "is refused, its configs/inference.json, x: ")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("<html>", "is no list of bundles"),
        ("[]", "is no list of bundles"),
        ('{"own_bundle_v0.1.0": 1}', "is no list of bundles"),
        ("{}", "it has none at all"),
        ('{"own_bundel_v1.0": {"checksum": "' + "0" * 64 + '", "source": "x"}}', "did you mean 'own_bundel'"),
        ('{"own_bundle_v1/../..": {"checksum": "' + "0" * 64 + '", "source": "x"}}', "it has none at all"),
        ('{"own_bundle_v1.0": {"checksum": "' + "0" * 64 + '", "source": "file:///etc/passwd"}}', "https://"),
        ("[" * 100_000, "is no list of bundles"),
    ],
)
def test_odd_lists_cost_one_sentence(server: Server, bundles: Path, text: str, match: str) -> None:
    server.files = {"model_info.json": text.encode()}
    refused(server, bundles, match)


def test_mistakes(server: Server, bundles: Path, tmp_path: Path) -> None:
    refused(server, bundles, "404")
    with pytest.raises(InputError, match="cannot be a bundle's name"):
        install("../evil", server.url, bundles)
    with pytest.raises(InputError, match="https://"):
        install(NAME, str(tmp_path), bundles)


def test_command_takes_from_and_versions_that_look_like_numbers(
    server: Server, folder: Path, bundles: Path
) -> None:
    share(server, folder, "1.10")
    share(server, folder, "1.9")
    command = [sys.executable, "-m", "dermaseg_monai", "get", NAME, "--output", str(bundles)]
    options = ("--from", server.url, "--version", "1.10")
    installed = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, check=False)
    assert installed.returncode == 0, installed.stderr
    assert f"{NAME} is 1.10 now" in installed.stdout
    failed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert failed.returncode == 1
    assert (
        failed.stderr.strip().splitlines()[-1].startswith("error: write dermaseg get own_bundle --from URL")
    )

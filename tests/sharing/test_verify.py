"""Verification: a good bundle passes everything, and each fault fails its own line."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.sharing.pack import pack
from dermaseg_monai.sharing.verify import as_table, verify
from dermaseg_monai.utils.errors import InputError
from tests.terminal import Terminal

TINY = {"_target_": "dermaseg_monai.networks.UNet", "in_channels": 3, "out_channels": 1, "features": [4, 8]}


def edit(folder: Path, config: str, **changes: Any) -> None:
    path = folder / "configs" / f"{config}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle whose network is tiny, with weights."""
    from dermaseg_monai.networks import UNet

    folder = tmp_path / "own_bundle"
    shutil.copytree(bundle_folder("lesion_unet"), folder, ignore=shutil.ignore_patterns("models"))
    for config in ("train", "inference"):
        edit(folder, config, network_def=TINY)
    (folder / "models").mkdir()
    torch.save(
        UNet(in_channels=3, out_channels=1, features=(4, 8)).state_dict(), folder / "models" / "model.pt"
    )
    return folder


def outcomes(path: Path, untrusted: bool = False) -> dict[str, str]:
    return {check.name: check.outcome for check in verify(path, untrusted)}


def failures(path: Path, untrusted: bool = False) -> dict[str, str]:
    return {check.name: check.seen for check in verify(path, untrusted) if check.outcome == "FAIL"}


def test_good_bundle_passes_as_folder_and_as_archive(folder: Path, tmp_path: Path) -> None:
    alike = {"layout": "pass", "screen": "pass", "metadata": "pass", "versions": "pass", "properties": "pass",
             "network": "pass", "weights": "pass"}  # fmt: skip
    assert outcomes(folder, untrusted=True) == {"hashes": "-", **alike}
    (packed,) = pack([folder], tmp_path / "dist")
    assert outcomes(packed.path, untrusted=True) == {"hashes": "pass", "archive": "pass", **alike}
    assert "screen" not in outcomes(packed.path)


def test_progress_is_shown_on_a_terminal(folder: Path) -> None:
    with contextlib.redirect_stderr(Terminal()) as shown:
        verify(folder)
    assert re.search(r"verifying: +40%.* 2/5 \[\S+<\S+, .*properties\]", shown.getvalue())


@pytest.mark.parametrize("name", ["lesion_mobilenetv2_unet", "lesion_sam"])
def test_bundles_of_the_collection_pass_without_their_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dermaseg_monai.sharing.verify._network", lambda _: ""
    )  # tests/bundles builds all of them
    assert failures(bundle_folder(name), untrusted=True) == {}


def test_archive_changed_after_packing(folder: Path, tmp_path: Path) -> None:
    (packed,) = pack([folder], tmp_path / "dist")
    data = bytearray(packed.path.read_bytes())
    data[data.index(b"Apache License")] ^= 1
    packed.path.write_bytes(data)
    actual = failures(packed.path)
    assert set(actual) == {"hashes", "archive"}
    assert "listed is" in actual["hashes"]
    assert "CRC" in actual["archive"]


def test_versions(folder: Path) -> None:
    edit(folder, "metadata", version="0.10.0", changelog={"0.9.0": "a", "0.10.0": "b"})
    assert failures(folder) == {}
    edit(folder, "metadata", version="0.9.0")
    assert "goes up to 0.10.0" in failures(folder)["versions"]
    edit(folder, "metadata", version="0.8.0")
    assert "does not say what 0.8.0 brought" in failures(folder)["versions"]
    edit(folder, "metadata", version="0.10.0", required_packages_version={"no-such-package": "1.0"})
    assert "no-such-package is not installed" in failures(folder)["versions"]
    edit(folder, "metadata", version="0.10-odd-", changelog={"0.10-odd-": "a"})
    assert "is no version number" in failures(folder)["versions"]


def test_metadata_and_properties(folder: Path) -> None:
    edit(folder, "metadata", authors=3)
    assert "$.authors" in failures(folder)["metadata"]
    edit(folder, "metadata", authors="me", schema="https://example.org/meta_schema_20220324.json")
    assert "not that of 20240725" in failures(folder)["metadata"]
    path = folder / "configs" / "train.json"
    train = json.loads(path.read_text())
    del train["train"]["trainer"]
    path.write_text(json.dumps(train))
    assert "train lacks trainer" in failures(folder)["properties"]


def test_network_and_weights_that_do_not_fit(folder: Path) -> None:
    edit(folder, "inference", network_def={**TINY, "out_channels": 2})
    actual = failures(folder)
    assert "output channel number `2` doesn't match: `1`" in actual["network"]
    assert "size mismatch" in actual["weights"]


@pytest.mark.parametrize(
    ("weights", "words"),
    [(b"", "does not load"), (pickle.dumps(print), "does not load with weights_only")],
)
def test_weights_that_are_none(folder: Path, weights: bytes, words: str) -> None:
    (folder / "models" / "model.pt").write_bytes(weights)
    assert words in failures(folder)["weights"]
    (folder / "models" / "model.pt").unlink()
    assert outcomes(folder)["weights"] == "-"


def test_weights_that_are_not_finite(folder: Path) -> None:
    path = folder / "models" / "model.pt"
    weights = torch.load(path, weights_only=True)
    next(iter(weights.values())).fill_(float("nan"))
    torch.save(weights, path)
    assert "not finite" in failures(folder)["weights"]


def test_nothing_is_built_after_a_failed_screen(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    evil = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": str(mark)}}
    edit(folder, "inference", network_def=evil, x=f"$open('{mark}', 'w')")
    actual = outcomes(folder, untrusted=True)
    assert actual["screen"] == "FAIL"
    assert all(actual[name] == "-" for name in ("metadata", "versions", "properties", "network", "weights"))
    assert not mark.exists()


def test_command_ends_with_1_where_a_check_fails(folder: Path) -> None:
    (folder / "LICENSE").unlink()
    command = [sys.executable, "-m", "dermaseg_monai", "verify", str(folder), "--untrusted"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert finished.returncode == 1
    lines = finished.stdout.splitlines()
    assert lines[0].split(maxsplit=2) == ["check", "outcome", "what was seen"]
    assert any(line.startswith("layout      FAIL     ") and "it has no LICENSE" in line for line in lines)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give a bundle's folder or zip"):
        verify(tmp_path / "none")
    (tmp_path / "x.zip").write_bytes(b"x")
    checks = verify(tmp_path / "x.zip")
    assert "archive     FAIL     x.zip is not a whole zip archive" in as_table(checks)

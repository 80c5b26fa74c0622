from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dermaseg_monai.utils import swap
from dermaseg_monai.utils.swap import put_in_place

# swaps two folders, each of two files that say its name, as fast as it can
LOOP = """
import sys
from pathlib import Path
from dermaseg_monai.utils.swap import put_in_place
new, path = map(Path, sys.argv[1:])
print("ready", flush=True)
while True:
    put_in_place(new, path)
"""


def make(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / "a").write_text(name)
    (folder / "b").write_text(name)
    return folder


def test_first_time(tmp_path: Path) -> None:
    assert put_in_place(make(tmp_path / "new", "new"), tmp_path / "there") is None
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("exchange", [True, False])
def test_old_one_is_handed_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool) -> None:
    if not exchange:
        monkeypatch.setattr(swap, "_exchanged", lambda *_: False)
    path = make(tmp_path / "there", "old")
    old = put_in_place(make(tmp_path / "new", "new"), path)
    assert old is not None
    assert (path / "a").read_text() == "new"
    assert (old / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_kill_leaves_one_of_them(tmp_path: Path) -> None:
    make(tmp_path / "new", "new")
    path = make(tmp_path / "there", "old")
    for _ in range(10):
        command = [sys.executable, "-c", LOOP, str(tmp_path / "new"), str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for _ in range(random.randrange(1, 400)):  # at all times, and not only at the end
            assert (path / "a").read_text() in ("old", "new")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert (path / "a").read_text() == (path / "b").read_text()
        assert sorted(folder.name for folder in tmp_path.iterdir()) == ["new", "there"]

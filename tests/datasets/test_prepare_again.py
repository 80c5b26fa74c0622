"""Preparing again does what is left, and replaces nothing of a person's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dermaseg_monai.data.datalist import load_datalist
from dermaseg_monai.datasets import prepare
from dermaseg_monai.datasets.journal import JOURNAL_NAME
from dermaseg_monai.utils.errors import InputError
from tests.datasets.layout import (
    mask,
    photo,
    write_archives,
    write_folder,
)
from tests.datasets.prepared import PHOTOS, CountingDecoder, datalist, items, state, truncated


@pytest.mark.parametrize("write", [write_folder, write_archives])
@pytest.mark.parametrize("size", [None, 16])
def test_second_run_decodes_and_changes_nothing(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, write: Any, size: int | None
) -> None:
    truncated(files)
    source = write(tmp_path / "source", files)
    first = prepare(source, tmp_path / "out", size=size)
    before = state(tmp_path / "out")
    decoder = CountingDecoder(monkeypatch)
    second = prepare(source, tmp_path / "out", size=size)
    assert decoder.calls == 0
    assert state(tmp_path / "out") == before
    assert second.left_out == first.left_out
    assert (first.reused, second.reused) == (0, 7)


def test_only_what_changed_is_done_again(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    truncated(files)
    source = write_folder(tmp_path / "source", files)
    prepare(source, tmp_path / "out")
    fresh = photo(seed=50)
    (source / PHOTOS / "CASE_0002.jpg").unlink()
    (source / PHOTOS / "CASE_0002.jpg").write_bytes(fresh)  # mended
    (tmp_path / "out/masks/CASE_0005_segmentation.png").unlink()  # lost
    decoder = CountingDecoder(monkeypatch)
    summary = prepare(source, tmp_path / "out")
    assert decoder.calls == 4
    assert (summary.reused, summary.left_out) == (6, ())
    assert (tmp_path / "out/images/CASE_0002.jpg").read_bytes() == fresh
    assert (tmp_path / "out/masks/CASE_0005_segmentation.png").is_file()


def test_images_that_left_the_source_leave_the_output(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    prepare(source, tmp_path / "out", task="both")
    (tmp_path / "out/images/notes.txt").write_text("mine")
    for path in source.rglob("CASE_0006*"):
        path.unlink()
    prepare(source, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("CASE_0006*"))
    assert not list((tmp_path / "out/attributes").iterdir())
    assert (tmp_path / "out/images/notes.txt").read_text() == "mine"
    assert "CASE_0006" not in items(tmp_path / "out")


def test_interrupted_run_is_taken_up(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    replace, count = os.replace, 0

    def interrupt(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count >= 5:  # the journal, and two files a pair: from the second pair of each run
            raise KeyboardInterrupt
        replace(*arguments)

    journal = tmp_path / "out" / JOURNAL_NAME
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        for _ in range(2):
            count = 0
            with pytest.raises(KeyboardInterrupt):
                prepare(source, tmp_path / "out", workers=1)
            journal.write_text(journal.read_text() + '{"id": "CASE_00')  # a line cut short
    assert not (tmp_path / "out/datalist.json").exists()
    with pytest.raises(InputError, match="dermaseg prepare"):
        load_datalist(tmp_path / "out", "training")
    decoder = CountingDecoder(monkeypatch)
    summary = prepare(source, tmp_path / "out")
    assert summary.reused == 2
    assert decoder.calls == 2 * 6
    prepare(source, tmp_path / "whole")
    assert (tmp_path / "whole/datalist.json").read_bytes() == (tmp_path / "out/datalist.json").read_bytes()


def test_file_that_lost_its_content_is_stored_again(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    prepare(source, tmp_path / "out")
    (tmp_path / "out/images/CASE_0004.jpg").write_bytes(b"")  # as a power cut may leave it
    assert prepare(source, tmp_path / "out").reused == 7
    assert (tmp_path / "out/images/CASE_0004.jpg").read_bytes() == files[f"{PHOTOS}/CASE_0004.jpg"]


def test_killed_run_is_taken_up(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_archives(tmp_path / "source", files)
    killed = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from dermaseg_monai.datasets import prepare\n"
        "write, count = Path.write_bytes, [0]\n"
        "def half(path, data):\n"
        "    count[0] += 1\n"
        "    if count[0] == 6:\n"
        "        write(path, data[: len(data) // 2])\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(path, data)\n"
        "Path.write_bytes = half\n"
        "prepare(sys.argv[1], sys.argv[2], workers=1)\n"
    )
    command = [sys.executable, "-c", killed, str(source), str(tmp_path / "out")]
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == -9
    half = list((tmp_path / "out").rglob(".*.png"))
    assert len(half) == 1
    assert not (tmp_path / "out/datalist.json").exists()
    summary = prepare(source, tmp_path / "out")
    assert summary.reused <= 2
    assert sum(summary.counts.values()) == 8
    assert not half[0].exists()
    for item in items(tmp_path / "out").values():
        assert (tmp_path / "out" / item["image"]).read_bytes() == files[f"{PHOTOS}/{item['id']}.jpg"]


def test_list_of_an_earlier_size_does_not_outlive_its_files(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    prepare(source, tmp_path / "out")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dermaseg_monai.datasets.storing.store_pair", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out", size=16)
    assert not (tmp_path / "out/datalist.json").exists()
    prepare(source, tmp_path / "out", size=16)
    assert datalist(tmp_path / "out")["size"] == 16
    assert Image.open(tmp_path / "out/images/CASE_0000.jpg").size == (16, 11)
    assert Image.open(source / PHOTOS / "CASE_0000.jpg").size == (48, 32)


def test_a_list_that_a_person_wrote_is_not_replaced(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    output = tmp_path / "out"
    prepare(source, output)
    content = datalist(output)
    moved = content["training"].pop()
    content["test"].append(moved)
    mine = json.dumps(content)
    (output / "datalist.json").write_text(mine)
    (source / PHOTOS / "CASE_0001.jpg").unlink()
    before = state(output)
    with pytest.raises(InputError, match=r"datalist\.json was written or changed by hand"):
        prepare(source, output)
    assert state(output) == before
    assert (output / "datalist.json").read_text() == mine
    # another layout of the same list is as good as the program's own
    (output / "datalist.json").unlink()
    prepare(source, output)
    (output / "datalist.json").write_text(json.dumps(datalist(output), indent=4))
    assert prepare(source, output).reused == 7


def test_a_list_without_anything_else_is_not_replaced(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/datalist.json").write_text('{"training": []}')
    with pytest.raises(InputError, match="by hand"):
        prepare(write_folder(tmp_path / "source", files), tmp_path / "out")


@pytest.mark.parametrize("size", [None, 24])
def test_a_stored_file_that_a_person_changed_is_not_replaced(
    tmp_path: Path, files: dict[str, bytes], size: int | None
) -> None:
    source = write_folder(tmp_path / "source", files)
    output = tmp_path / "out"
    prepare(source, output)
    mended = mask(box=(5, 5, 9, 9))
    (output / "masks/CASE_0003_segmentation.png").write_bytes(mended)
    with pytest.raises(InputError, match=r"CASE_0003_segmentation\.png was changed since it was stored"):
        prepare(source, output, size=size)
    assert (output / "masks/CASE_0003_segmentation.png").read_bytes() == mended


def test_a_copied_folder_is_known_by_its_content(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "source", files)
    prepare(source, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    decoder = CountingDecoder(monkeypatch)
    assert prepare(source, tmp_path / "copy").reused == 8
    assert decoder.calls == 0

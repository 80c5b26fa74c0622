"""Files are whole or absent."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import STALE_SECONDS, atomic_folder, atomic_path, sweep, write_text


def test_content_arrives_under_the_final_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "table.csv"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".csv"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["table.csv"]


def interrupted(path: Path) -> None:
    path.write_text("half")
    raise OSError("out of space")


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(OSError, match="out of space"), atomic_path(path) as temporary:
        interrupted(temporary)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "Jaccard ± ≥ 0.65\n")
    assert (tmp_path / "text").read_bytes() == "Jaccard ± ≥ 0.65\n".encode()


def test_others_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


def test_many_threads_write_one_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    os.umask(before)
    texts = [str(number) * 20_000 for number in range(8)]
    threads = [threading.Thread(target=write_text, args=(tmp_path / "file", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_text() in texts
    assert os.listdir(tmp_path) == ["file"]
    after = os.umask(before)
    assert after == before  # nothing of the process's own was changed on the way


def test_folder_is_whole_or_absent(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with pytest.raises(OSError, match="out of space"), atomic_folder(folder) as temporary:
        interrupted(temporary / "half")
    assert os.listdir(tmp_path) == []
    with atomic_folder(folder) as temporary:
        (temporary / "whole").touch()
        assert not folder.exists()
    assert os.listdir(folder) == ["whole"]
    assert os.listdir(tmp_path) == ["store"]


def test_the_first_of_two_folders_stays(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with atomic_folder(folder) as slow:
        (slow / "slow").touch()
        with atomic_folder(folder) as fast:
            (fast / "fast").touch()
    assert os.listdir(folder) == ["fast"]
    assert os.listdir(tmp_path) == ["store"]


def test_a_file_in_the_folders_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with (
        pytest.raises(InputError, match=r"store cannot be written \(.*choose another folder\.$"),
        atomic_folder(tmp_path / "store"),
    ):
        pass
    assert os.listdir(tmp_path) == ["store"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("writer", [atomic_path, atomic_folder])
def test_no_room_and_no_permission_are_one_sentence(tmp_path: Path, number, writer) -> None:
    with pytest.raises(InputError, match="^" + str(tmp_path / "out")) as caught, writer(tmp_path / "out"):
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_file_among_the_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"table\.csv cannot be written \(Not a directory\)"):
        write_text(tmp_path / "file" / "below" / "table.csv", "")


def test_what_killed_writers_left_is_swept_once_it_is_old(tmp_path: Path) -> None:
    names = [".table.0123456789abcdef.csv", ".pixels-12.0123456789abcdef"]
    for name in (*names, ".fresh.0123456789abcdef.csv", ".hidden", "table.csv", ".0123456789abcdef.csv"):
        (tmp_path / name).touch()
    (tmp_path / names[1]).unlink()
    (tmp_path / names[1]).mkdir()
    (tmp_path / names[1] / "images.npy").touch()
    old = time.time() - STALE_SECONDS - 60
    for path in (*tmp_path.iterdir(), tmp_path / names[1] / "images.npy"):
        os.utime(path, None if "fresh" in path.name else (old, old))
    sweep(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".fresh.0123456789abcdef.csv", ".hidden", "table.csv", ".0123456789abcdef.csv"}
    sweep(tmp_path / "missing")


def test_a_folder_that_is_written_to_is_not_swept(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "store") as temporary:
        (temporary / "images.npy").touch()
        old = time.time() - STALE_SECONDS - 60
        os.utime(temporary, (old, old))
        sweep(tmp_path)
        assert temporary.is_dir()

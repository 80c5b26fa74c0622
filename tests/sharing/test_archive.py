"""Archives: the same bytes every time, and nothing taken that is not a plain file within its folder."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dermaseg_monai.sharing import archive as module
from dermaseg_monai.sharing.archive import unpack, write_archive
from dermaseg_monai.sharing.pack import read_packed
from dermaseg_monai.utils.errors import InputError

unhurried = settings(deadline=None)  # a busy machine is no fault


def zip_of(path: Path, *entries: tuple[str, bytes], mode: int = 0, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = method
            file.writestr(entry, data)
    return path


def test_bytes_depend_on_names_and_contents_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    write_archive(tmp_path / "first.zip", "root", {"x/a": tmp_path / "a", "b": tmp_path / "b"})
    (tmp_path / "a").chmod(0o755)
    (tmp_path / "a").touch()
    write_archive(tmp_path / "second.zip", "root", {"b": tmp_path / "b", "x/a": tmp_path / "a"})
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "first.zip") as file:
        assert [
            (entry.filename, entry.date_time[0], entry.external_attr >> 16) for entry in file.infolist()
        ] == [
            ("root/b", 1980, stat.S_IFREG | 0o644),
            ("root/x/a", 1980, stat.S_IFREG | 0o644),
        ]
    assert unpack(tmp_path / "first.zip", tmp_path / "out") == "root"
    assert (tmp_path / "out" / "x" / "a").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["../evil"], "steps out"),
        (["root/../../evil"], "steps out"),
        (["root/./evil"], "steps out"),
        (["root//evil"], "steps out"),
        (["/etc/evil"], "absolute"),
        (["\\evil"], "absolute"),
        (["C:/evil"], "absolute"),
        (["root\\..\\..\\evil"], "not every system"),
        (["root/a\nb"], "not every system"),
        (["root/nul"], "not every system"),
        (["root/COM1.txt"], "not every system"),
        (["root/a:b"], "not every system"),
        (["root/a."], "not every system"),
        (["root/" + "a" * 201], "not every system"),
        (["root/a", "other/b"], "not one folder"),
        (["root"], "not one folder"),
        (["root/"], "not one folder"),
        (["root/a", "root/A"], "twice"),
        (["root/\u00e9", "root/e\u0301"], "twice"),
        (["root/a", "root/a/b"], "both a file and a folder"),
        ([f"root/{index}" for index in range(1_001)], "1,001 entries"),
    ],
)
def test_bad_names_are_refused(tmp_path: Path, names: list[str], word: str) -> None:
    path = zip_of(tmp_path / "bad.zip", *((name, b"") for name in names))
    with pytest.raises(InputError, match=word):
        unpack(path, tmp_path / "home" / "out")
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["bad.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_same_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="twice"):
        unpack(zip_of(tmp_path / "bad.zip", ("root/a", b"1"), ("root/a", b"2")), tmp_path / "out")


def test_name_cut_by_a_null_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "bad.zip", ("root/aXb", b""))
    path.write_bytes(path.read_bytes().replace(b"root/aXb", b"root/a\0b"))
    with pytest.raises(InputError, match="not every system"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: int) -> None:
    path = zip_of(tmp_path / "bad.zip", ("root/link", b"/etc/passwd"), mode=kind | 0o777)
    with pytest.raises(InputError, match="is a link or another special file"):
        unpack(path, tmp_path / "out")


def test_bombs_are_refused_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = zip_of(tmp_path / "grown.zip", ("root/a", bytes(50_000_000)), method=zipfile.ZIP_DEFLATED)
    assert grown.stat().st_size < 100_000
    with pytest.raises(InputError, match="200 times"):
        unpack(grown, tmp_path / "out")
    monkeypatch.setattr(module, "MAX_BYTES", 2_000_000)
    many = zip_of(tmp_path / "many.zip", *((f"root/{index}", bytes(900_000)) for index in range(3)))
    with pytest.raises(InputError, match="unpacks to 2,700,000 bytes"):
        unpack(many, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_encrypted_and_oddly_packed_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "bad.zip", ("root/a", b"some bytes" * 9), method=zipfile.ZIP_BZIP2)
    with pytest.raises(InputError, match="unusual way"):
        unpack(path, tmp_path / "out")
    data = bytearray(zip_of(tmp_path / "locked.zip", ("root/a", b"some bytes")).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(InputError, match="encrypted"):
        unpack(tmp_path / "locked.zip", tmp_path / "out")


def whole() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("root/configs/metadata.json", b'{"version": "0.1.0"}' * 20)
        file.writestr("root/LICENSE", b"text " * 50)
    return buffer.getvalue()


WHOLE = whole()
DIRECTORY = len(WHOLE) - WHOLE.index(b"PK\x01\x02")
"""Where the list of entries begins, counted from the end."""


@unhurried
@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255), cut=st.integers(0, len(WHOLE)))
def test_damage_costs_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, cut: int
) -> None:
    scratch = tmp_path_factory.mktemp("damage")
    data = bytearray(WHOLE)
    data[place] = value
    (scratch / "bundle.zip").write_bytes(data[:cut] if cut % 4 == 0 else data)
    with suppress(InputError):  # any other error fails the test
        unpack(scratch / "bundle.zip", scratch / "out")
    check_nothing_beside(scratch)


@unhurried
@given(
    edits=st.lists(st.tuples(st.integers(1, len(WHOLE)), st.binary(min_size=1, max_size=8)), max_size=4),
    tail=st.binary(max_size=30),
)
@example(edits=[(6, b"\xff")], tail=b"")  # the list of entries would begin before the file
@example(edits=[(DIRECTORY - 42, struct.pack("<I", len(WHOLE) - 9))], tail=b"")  # an entry in the last bytes
def test_more_damage_costs_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]], tail: bytes
) -> None:
    scratch = tmp_path_factory.mktemp("damage")
    data = bytearray(WHOLE)
    for before_end, value in edits:
        place = len(WHOLE) - before_end
        data[place : place + len(value)] = value
    (scratch / "bundle.zip").write_bytes(data + tail)
    with suppress(InputError):
        unpack(scratch / "bundle.zip", scratch / "out")
    check_nothing_beside(scratch)
    with suppress(InputError):
        read_packed(scratch / "bundle.zip")


PARTS = st.one_of(
    st.sampled_from(["..", ".", "", "a", "root", "~", "C:", "\\", "nul", "\u202e", "a\0b", " "]),
    st.text(max_size=6),
)


@unhurried
@example(names=["0/a\0b"])
@given(names=st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_name_stays_inside_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    scratch = tmp_path_factory.mktemp("names")
    try:
        path = zip_of(scratch / "bundle.zip", *((name, b"x") for name in names))
    except (UnicodeEncodeError, ValueError):
        return  # no zip can have such a name
    try:
        root = unpack(path, scratch / "out")
    except InputError:
        assert not (scratch / "out").exists()
    else:
        written = {
            file.relative_to(scratch / "out").as_posix()
            for file in (scratch / "out").rglob("*")
            if file.is_file()
        }
        # a zip ends a name at its first null character
        stored = {zipfile.ZipInfo(name).filename for name in names}
        assert {f"{root}/{name}" for name in written} == {name for name in stored if not name.endswith("/")}
    check_nothing_beside(scratch)


def check_nothing_beside(scratch: Path) -> None:
    assert {path.name for path in scratch.iterdir()} <= {"bundle.zip", "out"}
    assert not any(path.is_symlink() for path in scratch.rglob("*"))

"""The node among a camera (dcmtk) and an archive (Orthanc): photos in, results out, each once, whatever is killed."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from dermaseg_monai.dicom import peer as module
from dermaseg_monai.dicom.node import run_node
from dermaseg_monai.dicom.peer import AwayError, Peer, RefusedError, Sender, parse_peer, send_parcel
from dermaseg_monai.dicom.spool import Spool, owned
from dermaseg_monai.utils.errors import InputError
from tests.dicom.node_program import NodeProgram, node_program
from tests.dicom.objects import disc_object, needs, save
from tests.dicom.orthanc import TITLE, free_port, needs_orthanc, running

SECRETS = ("Müller", "SECRET", "A-99")


def until(true: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def camera(port: int, *paths: Path, title: str = "CAMERA") -> bool:
    """Send photos as a camera does; whether the node took all of them."""
    words = ["storescu", "-R", "-aet", title, "-aec", "DERMASEG", "127.0.0.1", str(port), *map(str, paths)]
    return subprocess.run(words, capture_output=True, check=False, timeout=120).returncode == 0


def echo(port: int, title: str, called: str = "DERMASEG") -> bool:
    words = ["echoscu", "-to", "20", "-aet", title, "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0


def settings(port: int, peer: int, spool: Path, lesion: dict[str, Any]) -> dict[str, Any]:
    own = {
        "ae_title": "DERMASEG",
        "port": port,
        "return_to": f"{TITLE}@127.0.0.1:{peer}",
        "host": "127.0.0.1",
    }
    return {**own, "accept": ["CAMERA", TITLE], "spool": str(spool), **lesion}


@needs_orthanc
@needs("storescu")
def test_a_day_at_the_clinic(tmp_path: Path, lesion: dict[str, Any]) -> None:
    photos = [save(disc_object(f"{index}", shift=index), tmp_path / f"{index}.dcm") for index in range(4)]
    # names that libraries would comment on
    odd = disc_object("0", shift=0)
    odd.PatientName = "Müller"
    save(odd, photos[0])
    bad = disc_object("bad")
    bad.PhotometricInterpretation = "YBR_FULL_422"
    save(bad, tmp_path / "bad.dcm")
    port, archive, spool = free_port(), free_port(), tmp_path / "spool"
    with (
        (tmp_path / "log").open("w") as log,
        node_program(settings(port, archive, spool, lesion), log) as node,
    ):
        node.start()
        until(lambda: echo(port, "CAMERA"))
        assert not echo(port, "STRANGER")
        assert not echo(port, "CAMERA", called="OTHER")
        assert not camera(port, photos[0], title="STRANGER")
        # the archive is away: photos are taken and segmented all the same
        assert camera(port, photos[0], tmp_path / "bad.dcm", photos[1])
        until(lambda: len(list((spool / "outgoing").iterdir())) == 2)
        assert len(list((spool / "refused").glob("*.dcm"))) == 1
        (reason,) = (spool / "refused").glob("*.txt")
        assert "header and pixels disagree" in reason.read_text()
        with running(tmp_path / "orthanc", dicom=archive) as orthanc:
            until(lambda: orthanc.count("SEG") == orthanc.count("SR") == 2)
            assert camera(port, *photos)  # the first two again
            until(lambda: orthanc.count("SEG") == orthanc.count("SR") == 4)
            node.end()
            assert len(orthanc.arrivals()) == 8
        assert not list((spool / "outgoing").iterdir())
        assert not list((spool / "incoming").iterdir())
        assert not (spool / "scratch").exists()
    printed = (tmp_path / "log").read_text()
    assert "is away: it cannot be reached" in printed
    assert "set aside" in printed
    assert not [secret for secret in SECRETS if secret in printed]
    assert str(dcmread(photos[0]).SOPInstanceUID) not in printed


def kill_often(
    program: NodeProgram,
    port: int,
    photos: list[Path],
    kills: int,
    pauses: tuple[float, float],
    seed: int = 0,
) -> None:
    """Send photos, one after the other and again until each was taken, while the node is killed and started."""
    chance, sent = random.Random(seed), threading.Event()

    def send() -> None:
        for photo in photos:
            while not camera(port, photo):
                time.sleep(0.2)
        sent.set()

    sending = threading.Thread(target=send, daemon=True)
    program.start()
    sending.start()
    for _ in range(kills):
        time.sleep(chance.uniform(*pauses))
        program.kill()
        program.start()
    assert sent.wait(1800)


@needs_orthanc
@needs("storescu")
def test_killed_again_and_again(tmp_path: Path, lesion: dict[str, Any]) -> None:
    """DERMASEG_NODE_PHOTOS and DERMASEG_NODE_KILLS make it as long as one likes, such as 200 and 10."""
    count = int(os.environ.get("DERMASEG_NODE_PHOTOS", 8))
    kills = int(os.environ.get("DERMASEG_NODE_KILLS", 3))
    photos = [save(disc_object(f"{index}"), tmp_path / f"{index}.dcm") for index in range(count)]
    port, spool = free_port(), tmp_path / "spool"
    with running(tmp_path / "orthanc") as orthanc, (tmp_path / "log").open("w") as log:
        pauses = (0.5, max(3.0, count / kills / 2))
        with node_program(settings(port, orthanc.dicom, spool, lesion), log) as program:
            kill_often(program, port, photos, kills, pauses)
            until(lambda: len(list((spool / "done").iterdir())) == count, seconds=600)
            program.end()
        assert orthanc.count("SEG") == orthanc.count("SR") == count
        arrivals = orthanc.arrivals()
    assert len(arrivals) == len(set(arrivals)) == 2 * count
    assert not list((spool / "refused").iterdir())


# --- the parts ---


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", "salt")


def test_photos_wait_in_order_and_come_once(spool: Spool) -> None:
    assert [spool.accept(uid, uid.encode()) for uid in ("1.2", "1.1", "1.2")] == [True, True, False]
    assert [photo.read_bytes() for photo in spool.waiting()] == [b"1.2", b"1.1"]
    assert not any("1.2" in photo.name for photo in spool.waiting())


def _finished(spool: Spool, tmp_path: Path) -> Path:
    spool.accept("1.2", b"photo")
    (tmp_path / "seg.dcm").write_bytes(b"seg")
    (photo,) = spool.waiting()
    spool.finish(photo, [tmp_path / "seg.dcm"])
    return photo


def test_a_photo_killed_between_two_steps(spool: Spool, tmp_path: Path) -> None:
    photo = _finished(spool, tmp_path)
    photo.write_bytes(b"photo")  # as if killed before it was removed
    again = Spool(spool.folder, "salt")
    assert again.waiting() == []
    (entry,) = again.parcels()
    assert [parcel.path.read_bytes() for parcel in again.left(entry)] == [b"seg"]
    (again.done / entry.name.rpartition("-")[2]).touch()  # as if killed while being removed
    assert Spool(spool.folder, "salt").parcels() == []
    assert not again.accept("1.2", b"photo")
    assert Spool(spool.folder, "other salt").accept("1.2", b"photo")


def test_half_a_file_is_no_photo(spool: Spool) -> None:
    (spool.incoming / ".0-half.0123456789abcdef.dcm").write_bytes(b"ha")
    (spool.outgoing / ".0-half.0123456789abcdef").mkdir()
    assert spool.waiting() == spool.parcels() == []
    assert not list(Spool(spool.folder, "salt").incoming.iterdir())


def test_refused_but_not_yet_moved(spool: Spool) -> None:
    spool.accept("1.2", b"photo")
    (photo,) = spool.waiting()
    (spool.refused / f"{photo.stem}.txt").write_text("why")  # as if killed before it was moved
    again = Spool(spool.folder, "salt")
    assert again.waiting() == [photo]
    again.refuse(photo, "why")
    assert Spool(spool.folder, "salt").waiting() == []
    assert not again.accept("1.2", b"photo")


def test_attempts_are_counted(spool: Spool) -> None:
    spool.accept("1.2", b"photo")
    (photo,) = spool.waiting()
    assert [spool.attempt(photo) for _ in range(3)] == [1, 2, 3]
    assert Spool(spool.folder, "salt").attempt(photo) == 4


class Pacs:
    """A peer that answers as it is told and remembers what came."""

    def __init__(self, status: int = 0x0000, finds: bool = True) -> None:
        self.status, self.finds, self.came = status, finds, []
        entity = AE(ae_title="PACS")
        entity.add_supported_context("1.2.840.10008.5.1.4.1.1.66.4")
        if finds:
            entity.add_supported_context(module.StudyRootQueryRetrieveInformationModelFind)
        entity.add_supported_context(Verification)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)]
        self.port = free_port()
        self.server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        self.peer = Peer("PACS", "127.0.0.1", self.port, "DERMASEG")

    def _store(self, event: Any) -> int:
        self.came.append(event.request.AffectedSOPInstanceUID)
        return self.status

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        for uid in self.came:
            if uid == event.identifier.SOPInstanceUID:
                answer = Dataset()
                answer.SOPInstanceUID = uid
                yield 0xFF00, answer


def _parcel(spool: Spool, tmp_path: Path) -> Path:
    """A photo whose only result is a (false) Segmentation object."""
    dataset = disc_object()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    spool.accept("1.2", b"photo")
    spool.finish(spool.waiting()[0], [save(dataset, tmp_path / "seg.dcm")])
    return spool.parcels()[0]


@pytest.mark.parametrize(("finds", "times"), [(True, 1), (False, 2)])
def test_an_answer_that_got_lost(finds: bool, times: int, spool: Spool, tmp_path: Path) -> None:
    """What was sent, but not noted as sent, is asked for; only a peer that cannot be asked gets it again."""
    pacs, entry = Pacs(finds=finds), _parcel(spool, tmp_path)
    with pacs.peer.connected() as association:
        (parcel,) = spool.left(entry)
        content = parcel.path.read_bytes()
        send_parcel(association, parcel)
        parcel.path.write_bytes(content)  # as if killed before the file was removed
        assert parcel.begun
        send_parcel(association, parcel)
    pacs.server.shutdown()
    assert len(pacs.came) == times
    assert spool.left(entry) == []


@pytest.mark.parametrize(
    ("status", "error"), [(0xA700, AwayError), (0xA900, RefusedError), (0xC000, RefusedError)]
)
def test_statuses(status: int, error: type[Exception], spool: Spool, tmp_path: Path) -> None:
    pacs, entry = Pacs(status), _parcel(spool, tmp_path)
    with pacs.peer.connected() as association, pytest.raises(error):
        send_parcel(association, spool.left(entry)[0])
    pacs.server.shutdown()
    assert len(spool.left(entry)) == 1


def test_what_the_peer_refuses_is_set_aside(spool: Spool, tmp_path: Path) -> None:
    pacs = Pacs(0xA900)
    entry = _parcel(spool, tmp_path)
    wake, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=Sender(spool, pacs.peer).run, args=(wake, stop))
    thread.start()
    until(lambda: not spool.parcels(), 30)
    stop.set()
    wake.set()
    thread.join()
    pacs.server.shutdown()
    assert (spool.refused / entry.name / "000000.dcm").is_file()
    assert "refuses it (status 0xa900)" in (spool.refused / f"{entry.name}.txt").read_text()


def test_pauses_grow(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _parcel(spool, tmp_path)
    pauses: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            if len(pauses) == 11:
                self.set()
            return True

    Sender(spool, Peer("PACS", "127.0.0.1", free_port(), "DERMASEG")).run(threading.Event(), Stop())
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_addresses_of_peers() -> None:
    assert parse_peer("PACS@10.0.0.5:4242", "DERMASEG") == Peer("PACS", "10.0.0.5", 4242, "DERMASEG")
    for wrong in ("PACS", "PACS@host", "@host:1", "PACS@host:70000", "a very long AE title@host:1"):
        with pytest.raises(InputError, match="not of the form AE@host:port"):
            parse_peer(wrong, "DERMASEG")


def test_arguments(tmp_path: Path, lesion: dict[str, Any]) -> None:
    good = settings(free_port(), 1, tmp_path, lesion)
    with pytest.raises(InputError, match="no AE title may send photos"):
        run_node(**{**good, "accept": []})
    with owned(tmp_path), pytest.raises(InputError, match="another node works in"):
        run_node(**good)
    with pytest.raises(InputError, match="is no AE title"):
        run_node(**{**good, "ae_title": "seventeen letters"})

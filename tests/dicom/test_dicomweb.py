"""A DICOMweb archive, which is a real Orthanc: query, fetch, segment, store, and never the same twice."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from dermaseg_monai.dicom import archive as module
from dermaseg_monai.dicom.archive import Archive, read_credentials
from dermaseg_monai.dicom.dicomweb import Tally, parse_query, run_dicomweb
from dermaseg_monai.utils.errors import InputError
from tests.dicom.objects import disc_object, needs, rgb_of, run, save
from tests.dicom.orthanc import Orthanc, behind_tls, needs_orthanc, running


def _send(orthanc: Orthanc, *paths: Path) -> None:
    run("storescu", "-R", "-aec", "ORTHANC", "127.0.0.1", orthanc.dicom, *paths)


@needs_orthanc
@needs("storescu")
def test_an_archive(
    tmp_path: Path,
    lesion: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    photos = [disc_object(name, shift=shift) for name, shift in (("a", 0), ("b", 6))]
    photos[1].PatientID = "other"
    film = disc_object("c")
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    film.NumberOfFrames, film.PatientID = 2, "film"
    film.PixelData = rgb_of(film).tobytes() * 2
    bad = disc_object("d")
    bad.PhotometricInterpretation, bad.PatientID = "YBR_FULL_422", "bad"
    with running(tmp_path / "orthanc") as orthanc:
        _send(
            orthanc,
            *(save(each, tmp_path / f"{index}.dcm") for index, each in enumerate([*photos, film, bad])),
        )
        run_it = lambda **what: run_dicomweb(orthanc.dicomweb, outline=True, **what, **lesion)  # noqa: E731
        with caplog.at_level(logging.INFO):
            assert run_it(study=str(photos[0].StudyInstanceUID)) == Tally(stored=1)
            assert orthanc.count("SEG") == orthanc.count("SR") == 1
            segmentation = dcmread(BytesIO(orthanc.file("SEG")))
            assert segmentation.StudyInstanceUID == photos[0].StudyInstanceUID
            assert np.array_equal(segmentation.pixel_array[12:36], rgb_of(photos[0])[12:36, :, 0] == 96)
            # the outline that was stored is a Secondary Capture, but no photo
            assert run_it(study=str(photos[0].StudyInstanceUID)) == Tally(done=1)
            assert run_it(query="PatientID=other") == Tally(stored=1)
            # as after a kill between the two: what is there is not done again
            before = len(orthanc.arrivals())
            assert run_it(query="") == Tally(stored=1, done=2, left_out=1)
            assert len(orthanc.arrivals()) == before + 6  # three objects for each frame of the film
            assert run_it(query="PatientID=film") == Tally(done=1)
        assert orthanc.count("SEG") == orthanc.count("SR") == 4
        assert len(set(orthanc.arrivals())) == len(orthanc.arrivals())
    # a bundle's logging.conf logs to the standard output
    printed = caplog.text + "".join(capfd.readouterr())
    assert "header and pixels disagree" in printed
    for secret in ("Müller", "SECRET", "A-99", str(photos[0].StudyInstanceUID)):
        assert secret not in printed


@needs_orthanc
@needs("storescu")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_and_credentials(tmp_path: Path, lesion: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate, both = (tmp_path / name for name in ("key.pem", "certificate.pem", "both.pem"))
    words = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(
        ["openssl", *words.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    secured = {"AuthenticationEnabled": True, "RegisteredUsers": {"derma": "hidden"}}
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"user": "derma", "password": "hidden"}))
    file.chmod(0o600)
    with running(tmp_path / "orthanc", **secured) as orthanc, behind_tls(orthanc.http, both) as port:
        _send(orthanc, save(disc_object(), tmp_path / "a.dcm"))
        url = f"https://localhost:{port}/dicom-web"
        ask = lambda **what: run_dicomweb(url, query="", **what, **lesion)  # noqa: E731
        with pytest.raises(InputError, match=r"certificate of localhost:\d+ is not trusted"):
            ask(credentials=str(file))
        with pytest.raises(InputError, match="refuses access"):
            ask(authority=str(certificate))
        assert ask(authority=str(certificate), credentials=str(file)) == Tally(stored=1)
        monkeypatch.setenv(module.USER, "derma")
        monkeypatch.setenv(module.PASSWORD, "hidden")
        assert ask(authority=str(certificate)) == Tally(done=1)


def test_an_archive_that_is_away() -> None:
    archive = Archive("http://127.0.0.1:9", {})
    archive.session.mount("http://", module.HTTPAdapter())
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9 cannot be reached \(ConnectionError\)") as caught:
        list(archive.search("studies/1.2.3/instances"))
    assert "1.2.3" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "credentials", "words"),
    [
        ("ftp://pacs/dicom-web", {}, "must begin with https"),
        ("https://user:word@pacs/dicom-web", {}, "neither credentials nor a query"),
        ("http://pacs/dicom-web", {"token": "t"}, "not sent over http://"),
    ],
)
def test_addresses(url: str, credentials: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Archive(url, credentials)


def test_credentials_are_kept_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials.json"
    file.write_text('{"token": "secret"}')
    file.chmod(0o644)
    with pytest.raises(InputError, match=r"others may read .* chmod 600"):
        read_credentials(str(file))
    file.chmod(0o600)
    assert read_credentials(str(file)) == {"token": "secret"}
    assert Archive("https://pacs", {"token": "secret"}).session.headers["Authorization"] == "Bearer secret"
    file.write_text('{"password": "secret"}')
    with pytest.raises(InputError, match="must hold") as caught:
        read_credentials(str(file))
    assert "secret" not in str(caught.value)
    monkeypatch.setenv(module.TOKEN, "other")
    assert read_credentials(None) == {"token": "other"}


def test_queries() -> None:
    assert parse_query("StudyDate=20260101-, PatientName=A*") == {
        "StudyDate": "20260101-",
        "PatientName": "A*",
    }
    assert parse_query("") == {}
    for query in ("StudyDate", "=x", "Study Date=1"):
        with pytest.raises(InputError, match="must be Attribute=value"):
            parse_query(query)


def test_parts_of_an_answer() -> None:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n\0\r\n--almost\r\n--b--"
    assert (
        module._first_part('multipart/related; type="application/dicom"; boundary="b"', body)
        == b"\0\r\n--almost"
    )
    assert module._first_part("application/dicom", b"whole") == b"whole"
    with pytest.raises(InputError, match="cut short"):
        module._first_part("multipart/related; boundary=b", body[:30])


@pytest.mark.parametrize(
    ("what", "words"),
    [({}, "either --study UID or --query"), ({"study": "1.2.x"}, "--study is no UID")],
)
def test_arguments(what: dict[str, str], words: str, lesion: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=words):
        run_dicomweb("https://pacs", **what, **lesion)

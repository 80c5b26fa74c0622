"""The DICOM commands as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fire
import pytest
from pydicom import dcmread

from dermaseg_monai.cli.commands import Commands
from dermaseg_monai.dicom import dicomweb, node
from dermaseg_monai.utils.errors import LEFT_OUT, InputError
from tests.dicom.objects import disc_object, save


def type_(*words: object) -> None:
    fire.Fire(Commands(), command=[str(word) for word in words], name="dermaseg")


def test_phantoms_to_objects(
    tmp_path: Path, lesion: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    type_("phantom", "--output", tmp_path, "--count", 2, "--size", 64, "--dicom", True)
    bad = disc_object()
    bad.PhotometricInterpretation = "YBR_FULL_422"
    save(bad, tmp_path / "DICOM" / "bad.dcm")
    settings = {**lesion, "network_def": json.dumps(lesion["network_def"])}
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with pytest.raises(SystemExit) as ended:
        type_("predict", tmp_path / "DICOM", "--output", tmp_path / "out", "--dicom_seg", True, *options)
    assert ended.value.code == LEFT_OUT
    assert "2 photos segmented" in capsys.readouterr().out
    assert dcmread(tmp_path / "out" / "ISIC_9000001_segmentation.dcm").PatientID == "PHANTOM-ISIC_9000001"


def test_an_outline_needs_a_segmentation(tmp_path: Path) -> None:
    for words in (("--outline", True), ("--dicom_seg", True, "--executor", "ray")):
        with pytest.raises(InputError, match="--outline goes with --dicom_seg True"):
            type_("predict", tmp_path, "--output", tmp_path, *words)


def test_texts_reach_the_archive_as_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(dicomweb, "run_dicomweb", lambda *words, **_: asked.extend(words) or dicomweb.Tally())
    type_("dicomweb", "--url", "https://pacs/dicom-web", "--query", "StudyDate=20260101-,PatientID=007")
    assert asked[:3] == ["https://pacs/dicom-web", None, "StudyDate=20260101-,PatientID=007"]
    asked.clear()
    type_("dicomweb", "--url", "https://pacs/dicom-web", "--study", "1.2.840.113619.2", "--threshold", 0.4)
    assert asked[:3] == ["https://pacs/dicom-web", "1.2.840.113619.2", None]


@pytest.mark.parametrize("titles", ["CAMERA,PACS", "CAMERA, PACS", "['CAMERA','PACS']"])
def test_titles_reach_the_node(titles: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(node, "run_node", lambda *words, **_: asked.extend(words))
    words = (
        "--ae-title",
        "DERMASEG",
        "--port",
        11112,
        "--return-to",
        "PACS@10.0.0.5:4242",
        "--spool",
        "spool",
    )
    type_("node", *words, "--accept", titles)
    assert asked[:3] == ["DERMASEG", 11112, "PACS@10.0.0.5:4242"]
    assert [title.strip() for title in asked[3]] == ["CAMERA", "PACS"]

"""A study folder in; masks, Segmentation objects and reports out, judged by tools that did not write them."""

from __future__ import annotations

import builtins
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dermaseg_monai.datasets.isic2018 import ATTRIBUTES
from dermaseg_monai.dicom.extra import require_dicom
from dermaseg_monai.dicom.predict import predict_dicom
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.metrics.lesion_shape import measure_lesion
from dermaseg_monai.utils.errors import InputError
from tests.dicom.objects import PATIENT, disc_object, faults, needs, rgb_of, run, save, with_pixels

CARRIED = ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate", "StudyID")


def _segments(path: Path) -> np.ndarray:
    """The masks of a Segmentation object as highdicom reads them, ``(S, H, W)``."""
    segmentation = highdicom.seg.segread(path)
    source = dcmread(path).ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    pixels = segmentation.get_pixels_by_source_instance([source], ignore_spatial_locations=True)
    return pixels[0].transpose(2, 0, 1)


def _measured(path: Path) -> dict[str, tuple[float, str]]:
    """Value and unit of each measurement of the first group, by name."""
    report = highdicom.sr.srread(path)
    group = report.content.get_planar_roi_measurement_groups()[0]
    return {
        measurement.name.meaning: (float(measurement.value), measurement.unit.value)
        for measurement in group.get_measurements()
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, lesion: dict[str, Any]) -> Path:
    """A study on a disc, segmented: two photos in folders inside, a photo of three frames, and what is no photo."""
    folder = tmp_path_factory.mktemp("study")
    save(disc_object("a"), folder / "disc" / "SER1" / "IM0001")
    save(disc_object("b", size=(40, 64), shift=9), folder / "disc" / "SER2" / "IM0001")
    film = disc_object("c")
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4"
    film.NumberOfFrames = 2
    film.PixelData = rgb_of(film).tobytes() + rgb_of(film)[:, ::-1].tobytes()
    save(film, folder / "disc" / "film.dcm")
    other = disc_object("d")
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    save(other, folder / "disc" / "tomography.dcm")
    bad = disc_object("e")
    bad.PhotometricInterpretation = "YBR_FULL_422"
    save(bad, folder / "disc" / "bad.dcm")
    (folder / "disc" / "readme.txt").write_text("no DICOM")
    predict_dicom(folder / "disc", folder / "output", outline=True, **lesion)
    return folder


IDS = ("SER1_IM0001", "SER2_IM0001", "film_frame1", "film_frame2")


def test_files(study: Path) -> None:
    written = {path.name for path in (study / "output").iterdir()}
    kinds = ("segmentation.png", "segmentation.dcm", "report.dcm", "outline.dcm")
    objects = {f"{id}_{kind}" for id in IDS for kind in kinds}
    assert written == objects | {"overlays", "predictions.csv", "failures.csv"}
    rows = (study / "output" / "predictions.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["id", *IDS]
    assert rows[1].split(",")[1] == str(study / "disc" / "SER1" / "IM0001")
    failures = (study / "output" / "failures.csv").read_text()
    assert "bad.dcm" in failures
    assert "header and pixels disagree" in failures
    assert len(failures.splitlines()) == 2


@pytest.mark.parametrize("id", IDS)
def test_segmentation_holds_the_mask(id: str, study: Path) -> None:
    mask = read_mask(study / "output" / f"{id}_segmentation.png")
    assert 0.1 < mask.mean() < 0.5
    path = study / "output" / f"{id}_segmentation.dcm"
    assert np.array_equal(_segments(path), mask[None])
    assert np.array_equal(dcmread(path).pixel_array, mask)


def test_frames_are_told_apart(study: Path) -> None:
    masks = [read_mask(study / "output" / f"film_frame{number}_segmentation.png") for number in (1, 2)]
    assert np.array_equal(masks[0], masks[1][:, ::-1])
    for number in (1, 2):
        groups = dcmread(
            study / "output" / f"film_frame{number}_segmentation.dcm"
        ).PerFrameFunctionalGroupsSequence
        assert groups[0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber == number


@needs("dciodvfy")
@pytest.mark.parametrize("kind", ["segmentation", "report", "outline"])
@pytest.mark.parametrize("id", IDS)
def test_objects_are_valid(id: str, kind: str, study: Path) -> None:
    assert faults(study / "output" / f"{id}_{kind}.dcm") == []


def test_another_reader_sees_the_same_pixels(study: Path, tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("segimage2itkimage")  # dcmqi
    if not tool.exists():
        pytest.skip("dcmqi is not installed")
    import itk

    # dcmqi wants a position in space, which photos have not
    dataset = dcmread(study / "output" / "SER1_IM0001_segmentation.dcm")
    shared = dataset.SharedFunctionalGroupsSequence[0]
    orientation, position = Dataset(), Dataset()
    orientation.ImageOrientationPatient, position.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    shared.PlaneOrientationSequence = [orientation]
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = [position]
    save(dataset, tmp_path / "placed.dcm")
    run(tool, "--inputDICOM", tmp_path / "placed.dcm", "--outputDirectory", tmp_path, "--outputType", "nii")
    pixels = itk.GetArrayFromImage(itk.imread(tmp_path / "1.nii"))[0]
    assert np.array_equal(pixels != 0, read_mask(study / "output" / "SER1_IM0001_segmentation.png") != 0)


@needs("dcmdump")
def test_dcmtk_reads_the_report(study: Path) -> None:
    report = run("dsrdump", study / "output" / "SER1_IM0001_report.dcm")
    assert "Area" in report
    assert "SEG image" in report or "Segmentation" in report


def test_patient_and_study_are_carried_over(study: Path) -> None:
    source = disc_object("a")
    uids = set()
    for kind in ("segmentation", "report", "outline"):
        derived = dcmread(study / "output" / f"SER1_IM0001_{kind}.dcm")
        assert {name: derived.get(name) for name in CARRIED} == {name: source.get(name) for name in CARRIED}
        assert str(derived.PatientName) == PATIENT
        assert "research" in derived.SeriesDescription
        uids |= {derived.SOPInstanceUID, derived.SeriesInstanceUID}
    assert len(uids - {source.SOPInstanceUID, source.SeriesInstanceUID}) == 6


def test_where_it_came_from(study: Path) -> None:
    source = disc_object("a")
    derived = dcmread(study / "output" / "SER1_IM0001_segmentation.dcm")
    assert derived.FrameOfReferenceUID == source.FrameOfReferenceUID
    measures = derived.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.PixelSpacing == source.PixelSpacing
    image = derived.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.ReferencedSOPClassUID == source.SOPClassUID
    segment = derived.SegmentSequence[0]
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "95324001"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "lesion_unet"
    assert algorithm.AlgorithmParameters == f"sha256={derived.DeviceSerialNumber}"


def test_report_in_millimetres(study: Path) -> None:
    mask = read_mask(study / "output" / "SER1_IM0001_segmentation.png")
    expected, spacing = measure_lesion(mask), 20 / 64
    measured = _measured(study / "output" / "SER1_IM0001_report.dcm")
    assert measured["Area"] == (pytest.approx(mask.sum() * spacing**2, rel=1e-5), "mm2")
    assert measured["Diameter"] == (pytest.approx(expected.diameter_px * spacing, rel=1e-5), "mm")
    assert measured["Asymmetry index"] == (pytest.approx(expected.asymmetry, rel=1e-4), "1")
    assert measured["Border irregularity index"] == (
        pytest.approx(expected.border_irregularity, rel=1e-4),
        "1",
    )


def test_pixels_that_are_not_square(tmp_path: Path, lesion: dict[str, Any]) -> None:
    """A disc photographed with pixels twice as high as wide measures what it measures in square ones."""
    dataset = disc_object()
    with_pixels(dataset, np.ascontiguousarray(rgb_of(dataset)[::2]), "RGB")
    dataset.Rows, dataset.PixelSpacing = 24, [0.5, 0.25]
    predict_dicom(save(dataset, tmp_path / "a.dcm"), tmp_path / "out", **lesion)
    measured = _measured(tmp_path / "out" / "a_report.dcm")
    assert measured["Diameter"][0] == pytest.approx(24 * 0.25, rel=0.08)
    assert measured["Asymmetry index"][0] < 0.05


def test_without_spacing_in_pixels(tmp_path: Path, lesion: dict[str, Any]) -> None:
    dataset = disc_object()
    del dataset.PixelSpacing, dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator
    predict_dicom(save(dataset, tmp_path / "a.dcm"), tmp_path / "out", **lesion)
    measured = _measured(tmp_path / "out" / "a_report.dcm")
    assert measured["Area"] == (read_mask(tmp_path / "out" / "a_segmentation.png").sum(), "{pixels}")
    if shutil.which("dciodvfy"):
        assert faults(tmp_path / "out" / "a_segmentation.dcm") == []
        assert faults(tmp_path / "out" / "a_report.dcm") == []


def test_attributes_are_segments(tmp_path: Path, attributes: dict[str, Any]) -> None:
    predict_dicom(save(disc_object(), tmp_path / "a.dcm"), tmp_path / "out", **attributes)
    masks = np.stack([read_mask(tmp_path / "out" / f"a_attribute_{name}.png") for name in ATTRIBUTES])
    assert masks.any(axis=(1, 2)).tolist() == [True, True, True, True, False]
    path = tmp_path / "out" / "a_segmentation.dcm"
    assert np.array_equal(_segments(path), masks)
    labels = [segment.SegmentLabel for segment in dcmread(path).SegmentSequence]
    assert labels == ["Pigment network", "Negative network", "Streaks", "Milia like cyst", "Globules"]
    report = highdicom.sr.srread(tmp_path / "out" / "a_report.dcm")
    assert len(report.content.get_planar_roi_measurement_groups()) == 5
    if shutil.which("dciodvfy"):
        assert faults(path) == []
        assert faults(tmp_path / "out" / "a_report.dcm") == []


def test_nothing_found_is_said(tmp_path: Path, lesion: dict[str, Any]) -> None:
    pale = with_pixels(disc_object(), np.full((48, 64, 3), 220, np.uint8), "RGB")
    predict_dicom(save(pale, tmp_path / "a.dcm"), tmp_path / "out", **lesion)
    assert _measured(tmp_path / "out" / "a_report.dcm") == {"Area": (0, "mm2")}
    assert not _segments(tmp_path / "out" / "a_segmentation.dcm").any()


def test_uids_are_stable_and_the_settings_make_others(tmp_path: Path, lesion: dict[str, Any]) -> None:
    source = save(disc_object(), tmp_path / "a.dcm")

    def uids(output: str, **settings: Any) -> list[str]:
        predict_dicom(source, tmp_path / output, **{**lesion, **settings})
        objects = [dcmread(tmp_path / output / f"a_{kind}.dcm") for kind in ("segmentation", "report")]
        return [uid for each in objects for uid in (each.SOPInstanceUID, each.SeriesInstanceUID)]

    first = uids("1")
    assert uids("2", batch_size=1) == first
    assert not set(uids("3", threshold=0.6)) & set(first)


def test_private_elements_are_ignored(tmp_path: Path, lesion: dict[str, Any]) -> None:
    dataset = disc_object()
    block = dataset.private_block(0x0011, "CAMERA", create=True)
    block.add_new(0x01, "LO", "private words")
    predict_dicom(save(dataset, tmp_path / "a.dcm"), tmp_path / "out", outline=True, **lesion)
    for path in (tmp_path / "out").glob("*.dcm"):
        assert b"private words" not in path.read_bytes()


def test_what_is_logged_names_no_patient(
    tmp_path: Path,
    lesion: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    save(disc_object("a"), tmp_path / "in" / "a.dcm")
    odd = disc_object("b")
    odd.StudyDate = "18.07.2020"
    odd.PatientName = f"{PATIENT}^" + 70 * "x"
    save(odd, tmp_path / "in" / "b.dcm")
    (tmp_path / "in" / "readme.txt").write_text("no DICOM")
    with caplog.at_level(logging.DEBUG):
        predict_dicom(tmp_path / "in", tmp_path / "out", **lesion)
    printed = caplog.text + "".join(capfd.readouterr())
    assert "passed over 1 file" in printed
    for secret in (PATIENT, "Müller", "SECRET", "A-99", "18.07.2020"):
        assert secret not in printed


@pytest.mark.parametrize("charset", ["ISO_IR 100", ["", "ISO 2022 IR 87"], "ISO_IR 192", None])
def test_names_in_any_letters(charset: Any, tmp_path: Path, lesion: dict[str, Any]) -> None:
    dataset = disc_object()
    dataset.PatientName = name = "Yamada^Tarou=山田^太郎" if isinstance(charset, list) else "Müller^Änne"
    if charset is None:
        del dataset.SpecificCharacterSet
        dataset.PatientName = name = "Smith^Ann"
    else:
        dataset.SpecificCharacterSet = charset
    predict_dicom(save(dataset, tmp_path / "a.dcm"), tmp_path / "out", outline=True, **lesion)
    for path in (tmp_path / "out").glob("*.dcm"):
        assert str(dcmread(path).PatientName) == name


def test_uids_against_the_rules_are_kept(tmp_path: Path, lesion: dict[str, Any]) -> None:
    dataset = disc_object()
    dataset.StudyInstanceUID = "1.2.003.04"
    predict_dicom(save(dataset, tmp_path / "a.dcm"), tmp_path / "out", **lesion)
    assert dcmread(tmp_path / "out" / "a_report.dcm").StudyInstanceUID == "1.2.003.04"


def test_damaged_headers(tmp_path: Path, lesion: dict[str, Any]) -> None:
    """Bytes overwritten in the header: results, or a reason, never a traceback."""
    raw = save(disc_object(), tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "in").mkdir()
    for seed in range(60):
        damaged, random = bytearray(raw), np.random.default_rng(seed)
        for place in random.integers(132, len(raw) - 48 * 64 * 3, 3):
            damaged[place] = random.integers(256)
        (tmp_path / "in" / f"{seed}.dcm").write_bytes(bytes(damaged))
    table = predict_dicom(tmp_path / "in", tmp_path / "out", **lesion)
    assert len(table) > 5
    for id in table["id"]:
        assert _segments(tmp_path / "out" / f"{id}_segmentation.dcm").any()


def test_what_names_no_study_is_refused(tmp_path: Path, lesion: dict[str, Any]) -> None:
    dataset = disc_object()
    del dataset.StudyInstanceUID
    with pytest.raises(InputError, match="has no valid StudyInstanceUID, so that results cannot be filed"):
        predict_dicom(save(dataset, tmp_path / "a.dcm"), tmp_path / "out", **lesion)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no DICOM file"):
        predict_dicom(tmp_path / "empty", tmp_path / "out", **lesion)


@needs("dciodvfy")
def test_phantoms_are_dermoscopic_objects(tmp_path: Path) -> None:
    from dermaseg_monai.datasets.phantoms import write_phantoms
    from dermaseg_monai.dicom.phantoms import write_dicom_phantoms
    from dermaseg_monai.image_files import read_photo

    write_phantoms(tmp_path, 1, size=64)
    path = write_dicom_phantoms(tmp_path) / "ISIC_9000000.dcm"
    assert faults(path) == []
    photo = tmp_path / "ISIC2018_Task1-2_Training_Input" / "ISIC_9000000.jpg"
    assert np.array_equal(read_photo(path), read_photo(photo))


def test_without_the_extra_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "highdicom" else builtins.object()
    )
    with pytest.raises(
        InputError, match=r'DICOM needs highdicom, .* run pip install "dermaseg-monai\[dicom\]"'
    ):
        require_dicom()

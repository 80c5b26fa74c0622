"""Pixels of DICOM photos: every syntax and colour model gives one photo, or the reason why not."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.pixels import convert_color_space
from pydicom.uid import JPEG2000, JPEG2000Lossless

from dermaseg_monai.image_files import dicom as module
from dermaseg_monai.image_files import open_photo, read_photo
from dermaseg_monai.utils.errors import InputError
from tests.dicom.objects import PATIENT, disc_object, needs, rgb_of, run, save, with_jpeg, with_pixels

RGB = rgb_of(disc_object())
GREY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


def _palette() -> Dataset:
    few = Image.fromarray(RGB).quantize(256)
    dataset = with_pixels(disc_object(), np.asarray(few), "PALETTE COLOR")
    table = np.array([*few.getpalette(), *[0] * 768][:768], np.uint16).reshape(256, 3) * 257
    for index, colour in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table[:, index].tobytes())
    return dataset


def _planar() -> Dataset:
    dataset = disc_object()
    dataset.PlanarConfiguration = 1
    dataset.PixelData = RGB.transpose(2, 0, 1).tobytes()
    return dataset


def _ybr_422() -> Dataset:
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    luma, chroma = ybr[..., 0].reshape(48, 32, 2), ybr[:, ::2, 1:]
    dataset = disc_object()
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PixelData = np.concatenate([luma, chroma], axis=-1).tobytes()
    return dataset


def _jpeg(image: Image.Image, interpretation: str, **options: object) -> Dataset:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0, **options)
    return with_jpeg(disc_object(), buffer.getvalue(), interpretation)


def _jpeg_2000(syntax: str, interpretation: str, **options: object) -> Dataset:
    dataset = disc_object()
    dataset.PhotometricInterpretation = interpretation
    dataset.compress(syntax, encoding_plugin="pylibjpeg", **options)
    return dataset


def _without_jfif(stream: bytes) -> bytes:
    """A JPEG stream without its first application segment."""
    length = int.from_bytes(stream[4:6], "big")
    return stream[:2] + stream[4 + length :]


def _unsaid_rgb() -> Dataset:
    # the components are RGB, and no marker says otherwise: the header decides
    raw = Image.frombytes("YCbCr", (64, 48), RGB.tobytes())
    buffer = io.BytesIO()
    raw.save(buffer, "JPEG", quality=95, subsampling=0)
    return with_jpeg(disc_object(), _without_jfif(buffer.getvalue()), "RGB")


COLOURS: dict[str, tuple[Callable[[], Dataset], int]] = {
    "rgb": (disc_object, 0),
    "planar": (_planar, 0),
    "palette": (_palette, 1),
    "ybr": (
        lambda: with_pixels(disc_object(), convert_color_space(RGB, "RGB", "YBR_FULL"), "YBR_FULL"),
        2,
    ),
    "ybr_422": (_ybr_422, 40),
    "jpeg": (lambda: _jpeg(Image.fromarray(RGB), "YBR_FULL_422"), 40),
    "jpeg_rgb_by_header": (_unsaid_rgb, 40),
    "jpeg_2000": (lambda: _jpeg_2000(JPEG2000Lossless, "RGB"), 0),
    "jpeg_2000_rct": (lambda: _jpeg_2000(JPEG2000Lossless, "YBR_RCT"), 0),
    "jpeg_2000_ict": (lambda: _jpeg_2000(JPEG2000, "YBR_ICT", j2k_cr=[2]), 4),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colour_models(name: str, tmp_path: Path) -> None:
    make, tolerance = COLOURS[name]
    read = read_photo(save(make(), tmp_path / "a.dcm")).astype(int)
    assert read.shape == (48, 64, 3)
    # compression blurs edges: colours are compared where there are none
    inner = read if tolerance < 10 else read[20:28, 28:36]
    expected = RGB if tolerance < 10 else RGB[20:28, 28:36]
    assert np.abs(inner - expected).max() <= min(tolerance, 4)


@needs("dcmcjpeg")
@pytest.mark.parametrize(
    ("command", "tolerance"),
    [
        ("dcmcjpeg +eb", 25),
        ("dcmcjpeg +eb +cr", 25),
        ("dcmcjpeg +eb +s4", 25),
        ("dcmcjpeg +ee", 25),
        ("dcmcjpeg +el", 0),
        ("dcmcjpeg +e1", 0),
        ("dcmcjpls +el", 0),
        ("dcmcjpls +en", 3),
        ("dcmcrle", 0),
        ("dcmconv +td", 0),
        ("dcmconv +ti", 0),
        ("dcmconv +tb", 0),
    ],
)
def test_what_dcmtk_writes(command: str, tolerance: int, tmp_path: Path) -> None:
    source = save(disc_object(), tmp_path / "a.dcm")
    run(*command.split(), source, tmp_path / "b.dcm")
    read = read_photo(tmp_path / "b.dcm").astype(int)
    assert np.abs(read - RGB).mean() <= min(tolerance, 3)
    assert np.abs(read - RGB)[20:28, 28:36].max() <= min(tolerance, 4)


@needs("img2dcm")
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_in_dicom_reads_as_the_jpeg(subsampling: str, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg", subsampling=subsampling)
    run("img2dcm", tmp_path / "a.jpg", tmp_path / "a.dcm")
    assert np.array_equal(read_photo(tmp_path / "a.dcm"), read_photo(tmp_path / "a.jpg"))


@needs("dcmcjpeg")
def test_twelve_bits_compressed(tmp_path: Path) -> None:
    dataset = with_pixels(disc_object(), GREY, "MONOCHROME2", bits=12)
    run("dcmcjpeg", "+ee", save(dataset, tmp_path / "a.dcm"), tmp_path / "b.dcm")
    assert np.abs(read_photo(tmp_path / "b.dcm")[..., 1] - GREY / 4095 * 255).max() < 3


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_grey_is_scaled_by_the_bits_stored(bits: int, tmp_path: Path) -> None:
    values = (GREY.astype(int) % (1 << bits)).astype(np.uint16)
    for interpretation in ("MONOCHROME2", "MONOCHROME1"):
        path = save(with_pixels(disc_object(), values, interpretation, bits), tmp_path / "a.dcm")
        expected = np.rint(values / ((1 << bits) - 1) * 255)
        read = read_photo(path)[..., 2].astype(int)
        # single precision rounds some halves the other way
        assert np.abs(read - (expected if interpretation == "MONOCHROME2" else 255 - expected)).max() <= 1


def test_rescaled_and_signed_values_by_their_range(tmp_path: Path) -> None:
    dataset = with_pixels(disc_object(), GREY.astype(np.int16) - 1000, "MONOCHROME2", bits=16)
    dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 1, 2, -7
    read = read_photo(save(dataset, tmp_path / "a.dcm"))[..., 0]
    assert np.array_equal(read, np.rint(GREY / GREY.max() * 255))


def test_frames(tmp_path: Path) -> None:
    dataset = disc_object()
    dataset.NumberOfFrames = 2
    dataset.PixelData = RGB.tobytes() + (255 - RGB).tobytes()
    path = save(dataset, tmp_path / "a.dcm")
    photo = module.open_dicom(path, max_pixels=10_000)
    assert photo.frames == 2
    assert np.array_equal(photo.frame(1), 255 - RGB)
    assert np.array_equal(read_photo(path), RGB)


def test_decoding_is_the_same_as_by_pixel_array(tmp_path: Path) -> None:
    assert np.array_equal(disc_object().pixel_array, RGB)


# --- what header and pixels disagree on ---


def _set(**values: object) -> Callable[[], Dataset]:
    def make() -> Dataset:
        dataset = disc_object()
        for name, value in values.items():
            setattr(dataset, name, value)
        return dataset

    return make


def _called(make: Callable[[], Dataset], interpretation: str) -> Callable[[], Dataset]:
    def renamed() -> Dataset:
        dataset = make()
        dataset.PhotometricInterpretation = interpretation
        return dataset

    return renamed


def _too_bright() -> Dataset:
    return with_pixels(disc_object(), GREY, "MONOCHROME2", bits=10)


def _bomb() -> Dataset:
    """64 x 48 pixels by the header, 30,000 x 30,000 by the JPEG."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "JPEG")
    stream = buffer.getvalue()
    place = stream.index(b"\xff\xc0") + 5
    return with_jpeg(
        disc_object(), stream[:place] + b"\x75\x30\x75\x30" + stream[place + 4 :], "YBR_FULL_422"
    )


ISIC_2020 = _set(PhotometricInterpretation="YBR_FULL_422")
RGB_JPEG = lambda interpretation: _jpeg(Image.fromarray(RGB), interpretation, keep_rgb=True)  # noqa: E731


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            ISIC_2020,
            "disagree: 1 frames of 64 x 48 pixels in YBR_FULL_422 are 6144 bytes, but there are 9216",
        ),
        (_set(Rows=47), "disagree: 1 frames of 64 x 47 pixels"),
        (_set(NumberOfFrames=2), "disagree: 2 frames"),
        (_set(PhotometricInterpretation="MONOCHROME2"), "has 1 samples a pixel, but the header says 3"),
        (_set(PhotometricInterpretation="HSV"), "'HSV' is not known"),
        (_set(Rows=0), "says 64 x 0 pixels"),
        (_set(BitsAllocated=32, BitsStored=32), "pixels of 32 bits in 32 are not read"),
        (_set(NumberOfFrames=5000), "5000 frames are more than the limit"),
        (_set(Rows=60_000, Columns=60_000), "60000 x 60000 pixels are more than the limit"),
        (_too_bright, "says 10 bits, but a value is 3071"),
        (_bomb, "the compressed image 30000 x 30000 of 3"),
        (_called(lambda: _jpeg(Image.fromarray(RGB), ""), "RGB"), "says RGB, .* colours are YBR"),
        (lambda: RGB_JPEG("YBR_FULL_422"), "says YBR_FULL_422, .* colours are RGB"),
        (
            _called(lambda: _jpeg_2000(JPEG2000Lossless, "YBR_RCT"), "YBR_FULL"),
            "says YBR_FULL, .* RGB by JPEG 2000",
        ),
        (_called(lambda: _jpeg_2000(JPEG2000Lossless, "RGB"), "YBR_RCT"), "says YBR_RCT, .* as stored"),
    ],
)
def test_disagreement_is_refused(make: Callable[[], Dataset], words: str, tmp_path: Path) -> None:
    path = save(make(), tmp_path / "a.dcm")
    with pytest.raises(InputError, match=words) as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_no_pixels_and_no_dicom(tmp_path: Path) -> None:
    dataset = disc_object()
    del dataset.PixelData
    with pytest.raises(InputError, match="holds no pixels"):
        read_photo(save(dataset, tmp_path / "a.dcm"))
    (tmp_path / "b.dcm").write_bytes(b"no DICOM")
    with pytest.raises(InputError, match="no DICOM file, or a damaged one"):
        read_photo(tmp_path / "b.dcm")


def test_fewer_pixels_may_be_the_limit(tmp_path: Path) -> None:
    path = save(disc_object(), tmp_path / "a.dcm")
    assert open_photo(path, max_pixels=48 * 64).size == (48, 64)
    with pytest.raises(InputError, match="64 x 48 pixels are more than the limit of 3071"):
        open_photo(path, max_pixels=48 * 64 - 1)


def test_deflated_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = disc_object()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    path = save(dataset, tmp_path / "a.dcm")
    assert np.array_equal(read_photo(path), RGB)
    path.write_bytes(path.read_bytes()[:-2] + zlib.compress(bytes(100))[2:])
    monkeypatch.setattr(module, "MAX_INFLATED", 1000)
    with pytest.raises(InputError, match="inflated, it is more than 1000 bytes"):
        read_photo(path)


@pytest.mark.parametrize("seed", range(20))
def test_damage_costs_one_sentence_without_the_patient(seed: int, tmp_path: Path, capfd) -> None:
    """Bytes overwritten anywhere: a photo of the right size, or a refusal that quotes nothing of the header."""
    path = save(
        disc_object() if seed % 2 else _jpeg(Image.fromarray(RGB), "YBR_FULL_422"), tmp_path / "a.dcm"
    )
    raw, random = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for place in random.integers(132, len(raw), 25):
        raw[place] = random.integers(256)
    path.write_bytes(bytes(raw))
    try:
        printed = str(read_photo(path).shape)
    except InputError as error:
        printed = str(error)
    assert PATIENT.split("^")[0] not in printed
    assert PATIENT.split("^")[0] not in "".join(capfd.readouterr())

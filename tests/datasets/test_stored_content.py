"""What is stored shows what the source shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.datasets import prepare
from dermaseg_monai.image_files import read_mask, read_photo
from tests.datasets.layout import (
    encode,
    mask,
    official_files,
    write_folder,
)
from tests.datasets.prepared import IDS, LESIONS, PHOTOS, faint, items


def test_size_reduces_photo_and_masks_alike(tmp_path: Path) -> None:
    tall = official_files(IDS[:3])
    ramp = np.linspace(0, 255, 90, dtype=np.uint8)[:, None, None].repeat(60, 1).repeat(3, 2)
    tall[f"{PHOTOS}/CASE_0001.jpg"] = encode(Image.fromarray(ramp), "JPEG", quality=95)
    # 3x3 source pixels make one: set where 2 of 3 columns or rows are in the box, clear at corners (4 of 9)
    tall[f"{LESIONS}/CASE_0001_segmentation.png"] = mask(60, 90, box=(4, 10, 37, 50))
    source = write_folder(tmp_path / "source", tall)
    prepare(source, tmp_path / "out", size=30)
    reduced = Image.open(tmp_path / "out/masks/CASE_0001_segmentation.png")
    assert (reduced.mode, reduced.format, reduced.size) == ("L", "PNG", (20, 30))
    expected = np.zeros((30, 20), np.uint8)
    expected[3:17, 1:12] = 255
    expected[[3, 16], 1] = 0
    np.testing.assert_array_equal(np.asarray(reduced), expected)
    image = Image.open(tmp_path / "out/images/CASE_0001.jpg")
    assert (image.mode, image.format, image.size) == ("RGB", "JPEG", (20, 30))
    middle = np.asarray(image)[:, 10, 0].astype(int)
    np.testing.assert_allclose(middle, ramp[1::3, 0, 0], atol=4)


def test_size_never_enlarges(tmp_path: Path, files: dict[str, bytes]) -> None:
    source = write_folder(tmp_path / "source", files)
    prepare(source, tmp_path / "out", size=48)
    assert (tmp_path / "out/images/CASE_0000.jpg").read_bytes() == files[f"{PHOTOS}/CASE_0000.jpg"]
    lesion = (tmp_path / "out/masks/CASE_0000_segmentation.png").read_bytes()
    assert lesion == files[f"{LESIONS}/CASE_0000_segmentation.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, 32])
def test_oriented_photo_is_stored_upright(tmp_path: Path, orientation: int, size: int | None) -> None:
    upright = np.zeros((96, 64, 3), np.uint8)
    upright[:32, :24] = (250, 20, 20)  # one corner marks the way up
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = encode(Image.fromarray(np.ascontiguousarray(turn(upright))), "JPEG", quality=95, exif=exif)
    files = official_files(IDS[:3])
    files[f"{PHOTOS}/CASE_0001.jpg"] = stored
    files[f"{LESIONS}/CASE_0001_segmentation.png"] = mask(64, 96, box=(0, 0, 24, 32))
    source = write_folder(tmp_path / "source", files)
    summary = prepare(source, tmp_path / "out", size=size)
    assert not summary.left_out
    image = Image.open(tmp_path / "out" / items(tmp_path / "out")["CASE_0001"]["image"])
    lesion = Image.open(tmp_path / "out/masks/CASE_0001_segmentation.png")
    assert image.getexif().get(0x0112, 1) == 1
    assert image.size == lesion.size == ((64, 96) if size is None else (21, 32))
    red = np.asarray(image)[..., 0] >= 128
    assert np.mean(red != (np.asarray(lesion) >= 128)) < 0.03


def drawn() -> tuple[Image.Image, Image.Image]:
    """A photo and its mask, whose corners all differ."""
    y, x = np.mgrid[:48, :64]
    inside = ((x - 26) / 14) ** 2 + ((y - 18) / 12) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 4, (48, 64, 1))
    colours = np.where(inside[..., None], (96, 58, 44), (214, 160, 130)) + noise
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8)), Image.fromarray(inside * np.uint8(255))


def tag(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def photos_of_all_kinds() -> dict[str, bytes]:
    """Photos by file name, all of one scene."""
    scene, _ = drawn()
    grey = np.asarray(scene.convert("L"))
    turned = scene.transpose(Image.Transpose.ROTATE_90)
    return {
        "plain.jpg": encode(scene, "JPEG", quality=95),
        "png_called.jpg": encode(scene, "PNG"),
        "turned.jpg": encode(turned, "JPEG", quality=95, exif=tag(6)),
        "turned.tif": encode(turned, "TIFF", exif=tag(6)),
        "turned_grey.tif": encode(turned.convert("L"), "TIFF", exif=tag(6)),
        "12_bit.png": encode(Image.fromarray(grey.astype(np.uint16) * 16), "PNG"),
        "16_bit.tif": encode(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        "integer.tif": encode(Image.fromarray(grey.astype(np.int32) * 1000), "TIFF"),
        "float.tif": encode(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"),
        "avif_called.jpg": encode(scene, "AVIF", quality=95),
        "webp.webp": encode(scene, "WEBP", quality=95),
        "no_ending": encode(scene, "JPEG", quality=95),
        "palette.png": encode(scene.quantize(128), "PNG"),
        "transparent.png": encode(scene.convert("RGBA"), "PNG"),
        "bitmap.bmp": encode(scene, "BMP"),
        "inks.jpg": encode(scene.convert("CMYK"), "JPEG", quality=95),
    }


def test_what_is_stored_is_what_inference_shows(tmp_path: Path) -> None:
    _, lesion = drawn()
    originals = photos_of_all_kinds()
    files = {f"{PHOTOS}/{name}": data for name, data in originals.items() if name != "turned.tif"}
    files[f"{PHOTOS}/turned_tiff.tif"] = originals["turned.tif"]
    for name in list(files):
        files[f"{LESIONS}/{Path(name).stem}_segmentation.png"] = encode(lesion, "PNG")
    source = write_folder(tmp_path / "source", files)
    for size in (None, 32):
        output = tmp_path / f"out{size}"
        assert not prepare(source, output, size=size).left_out
        truth = (
            np.asarray(lesion.resize((64, 48) if size is None else (32, 24), Image.Resampling.NEAREST)) > 0
        )
        for name in files:
            if not name.startswith(PHOTOS):
                continue
            item = items(output)[Path(name).stem]
            shown = read_photo(source / name)
            stored = read_photo(output / item["image"])
            if size is None:
                assert np.array_equal(stored, shown), name
                assert np.array_equal(read_mask(output / item["label"]) > 0, truth), name
            else:
                small = np.asarray(Image.fromarray(shown).resize((32, 24), Image.Resampling.BOX))
                assert np.abs(stored.astype(int) - small.astype(int)).mean() < 4, name
                agree = (read_mask(output / item["label"]) > 0) & truth
                assert agree.sum() / truth.sum() > 0.9, name
    stored = {path.name for path in (tmp_path / "outNone" / "images").iterdir()}
    assert {
        "plain.jpg",
        "png_called.png",
        "turned.png",
        "12_bit.png",
        "no_ending.jpg",
        "bitmap.png",
    } <= stored


def test_masks_of_any_two_values_are_stored_as_0_and_255(tmp_path: Path) -> None:
    scene, lesion = drawn()
    white = np.full((48, 64, 4), 255, np.uint8)
    white[..., 3] = np.asarray(lesion)
    masks = {
        "plain.png": encode(lesion, "PNG"),
        "0_1.png": encode(lesion.point(lambda value: value // 255), "PNG"),
        "alpha.png": encode(Image.fromarray(white), "PNG"),
        "copied_tag.png": encode(lesion, "PNG", exif=tag(3)),
        "jpeg.jpg": encode(lesion, "JPEG", quality=90),
        "photo.png": encode(scene, "PNG"),
        "empty.png": encode(Image.new("L", (64, 48)), "PNG"),
        "full.png": encode(Image.new("L", (64, 48), 255), "PNG"),
    }
    files = {}
    for name, data in masks.items():
        stem, ending = name.split(".")
        files |= {
            f"{LESIONS}/{stem}_segmentation.{ending}": data,
            f"{PHOTOS}/{stem}.png": encode(scene, "PNG"),
        }
    source = write_folder(tmp_path / "source", files)
    summary = prepare(source, tmp_path / "out")
    [problem] = summary.left_out
    assert problem.id == "photo"
    assert "a picture in colours" in problem.what
    for name in ("plain", "0_1", "alpha", "copied_tag", "jpeg"):
        with Image.open(tmp_path / "out" / items(tmp_path / "out")[name]["label"]) as stored:
            assert stored.format == "PNG"
            assert not stored.getexif()
            assert (np.asarray(stored) != np.asarray(lesion)).mean() < 0.01, name
            assert set(np.unique(stored)) == {0, 255}
    text = str(summary)
    assert f"1 mask ({LESIONS}/jpeg_segmentation.jpg): a JPEG" in text
    assert f"1 mask ({LESIONS}/copied_tag_segmentation.png): an orientation tag" in text
    assert "1 mask (empty): empty" in text
    assert "1 mask (full): all lesion" in text
    assert str(prepare(source, tmp_path / "out")).splitlines()[:-1] == text.splitlines()[:-1]


def test_soft_masks_are_taken_when_asked_for(tmp_path: Path, files: dict[str, bytes]) -> None:
    faint(files)
    source = write_folder(tmp_path / "source", files)
    assert len(prepare(source, tmp_path / "out").left_out) == 1
    files[f"{LESIONS}/CASE_0002_segmentation.png"] = encode(
        Image.linear_gradient("L").resize((48, 32)), "PNG"
    )
    write_folder(source, files)
    assert not prepare(source, tmp_path / "out", soft_masks=True).left_out
    stored = read_mask(tmp_path / "out/masks/CASE_0002_segmentation.png")
    assert stored[:15].max() == 0
    assert stored[17:].min() == 1


@pytest.mark.parametrize("ending", ["_mask.png", "-Segmentation.PNG", ".png", "_lesion.bmp", "_gt.tif"])
def test_masks_under_other_endings_are_found(tmp_path: Path, files: dict[str, bytes], ending: str) -> None:
    _, lesion = drawn()
    form = {".bmp": "BMP", ".tif": "TIFF"}.get(Path(ending).suffix, "PNG")
    for name in IDS:
        del files[f"{LESIONS}/{name}_segmentation.png"]
        files[f"{LESIONS}/{name}{ending}"] = encode(lesion.resize((48, 32), Image.Resampling.NEAREST), form)
    assert not prepare(write_folder(tmp_path / "source", files), tmp_path / "out").left_out

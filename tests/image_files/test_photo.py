from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest
from PIL import Image, ImageOps

from dermaseg_monai.image_files import open_photo, read_mask, read_photo
from dermaseg_monai.image_files import photo as photo_module
from dermaseg_monai.utils.errors import InputError

# an asymmetric scene: every corner differs, and height differs from width
SCENE = np.zeros((20, 32, 3), dtype=np.uint8)
SCENE[:10, :16] = (200, 40, 40)
SCENE[:10, 16:] = (40, 200, 40)
SCENE[10:, :16] = (40, 40, 200)
SCENE[10:, 16:] = (220, 220, 90)
GRAY = np.arange(20 * 32, dtype=np.uint8).reshape(20, 32)


def _save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.TIFF", "a.ppm"])
def test_lossless_rgb_is_read_exactly(tmp_path: Path, name: str) -> None:
    assert np.array_equal(read_photo(_save(Image.fromarray(SCENE), tmp_path / name)), SCENE)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.JPG", "a.webp", "a.jp2"])
def test_lossy_rgb_is_read_closely(tmp_path: Path, name: str) -> None:
    pixels = read_photo(_save(Image.fromarray(SCENE), tmp_path / name, quality=95))
    for rows, columns in ((4, 8), (4, 24), (15, 8), (15, 24)):
        np.testing.assert_allclose(pixels[rows, columns].astype(int), SCENE[rows, columns], atol=12)


def test_grayscale_fills_three_channels(tmp_path: Path) -> None:
    pixels = read_photo(_save(Image.fromarray(GRAY), tmp_path / "a.png"))
    assert np.array_equal(pixels, np.stack([GRAY] * 3, axis=-1))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    pixels = read_photo(_save(Image.fromarray(GRAY > 100), tmp_path / "a.png"))
    assert np.array_equal(pixels[..., 2], np.where(GRAY > 100, 255, 0))


@pytest.mark.parametrize(
    ("top", "white"), [(65535, 65535), (4095, 4095), (1000, 1023), (255, 255), (10_000, 16_383)]
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_by_the_bits_in_use(
    tmp_path: Path, suffix: str, top: int, white: int
) -> None:
    values = np.linspace(0, top, 640).round().astype(np.uint16).reshape(20, 32)
    pixels = read_photo(_save(Image.fromarray(values), tmp_path / f"a{suffix}"))
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[..., 0], values * (255 / white), atol=0.51)


def test_floats_are_scaled(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 640, dtype=np.float32).reshape(20, 32)
    assert read_photo(_save(Image.fromarray(ramp * 0.5), tmp_path / "a.tif")).max() == 128
    pixels = read_photo(_save(Image.fromarray(ramp * 7 - 3), tmp_path / "b.tif"))
    np.testing.assert_allclose(pixels[..., 1], ramp * 255, atol=0.51)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    scene = GRAY.astype(np.float32)
    scene[3, 4] = value
    with pytest.raises(InputError, match="some values of this image are not finite"):
        read_photo(_save(Image.fromarray(scene), tmp_path / "a.tif"))


def test_transparency_becomes_white(tmp_path: Path) -> None:
    rgba = np.dstack([SCENE, np.full((20, 32), 255, np.uint8)])
    rgba[:, :4, 3] = 0
    rgba[:, 4:8, 3] = 51  # one fifth opaque
    pixels = read_photo(_save(Image.fromarray(rgba), tmp_path / "a.png"))
    assert (pixels[:, :4] == 255).all()
    np.testing.assert_allclose(pixels[0, 5], 0.2 * SCENE[0, 5] + 0.8 * 255, atol=1)
    assert np.array_equal(pixels[:, 8:], SCENE[:, 8:])


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    palette = Image.fromarray(SCENE).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert np.array_equal(read_photo(_save(palette, tmp_path / "a.png")), SCENE)
    index = palette.getpixel((0, 0))
    pixels = read_photo(_save(palette, tmp_path / "b.png", transparency=index))
    assert (pixels[:10, :16] == 255).all()
    assert np.array_equal(pixels[10:], SCENE[10:])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    cmyk = Image.fromarray(SCENE).convert("CMYK")
    np.testing.assert_allclose(read_photo(_save(cmyk, tmp_path / "a.tif")), SCENE, atol=2)
    pixels = read_photo(_save(cmyk, tmp_path / "a.jpg", quality=95))
    np.testing.assert_allclose(pixels[4, 8].astype(int), SCENE[4, 8], atol=12)


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    first = Image.fromarray(SCENE).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    second = Image.fromarray(SCENE[::-1]).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    path = _save(first, tmp_path / "a.gif", save_all=True, append_images=[second])
    assert np.array_equal(read_photo(path), SCENE)


def test_several_pictures_in_one_jpeg_give_the_first(tmp_path: Path) -> None:
    first, second = Image.fromarray(SCENE), Image.fromarray(255 - SCENE)
    path = _save(first, tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second], quality=95)
    np.testing.assert_allclose(read_photo(path)[4, 8].astype(int), SCENE[4, 8], atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    image = Image.fromarray(SCENE)
    exif = image.getexif()
    exif[0x0112] = orientation
    path = _save(image, tmp_path / f"a{suffix}", exif=exif)
    with Image.open(path) as opened:
        expected = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
    opened_photo = open_photo(path)
    assert np.array_equal(opened_photo.pixels, expected)
    assert opened_photo.size == expected.shape[:2] == ((32, 20) if orientation > 4 else (20, 32))


def test_damaged_exif_spoils_no_pixels(tmp_path: Path) -> None:
    path = _save(Image.fromarray(SCENE), tmp_path / "a.png", exif=b"Exif\x00\x00nonsense")
    assert np.array_equal(read_photo(path), SCENE)


@pytest.mark.parametrize(
    ("reduce_to", "step"), [(None, 1), (512, 1), (150, 1), (149, 2), (60, 4), (30, 8), (1, 8)]
)
def test_jpeg_is_decoded_reduced(tmp_path: Path, reduce_to: int | None, step: int) -> None:
    ramp = np.add.outer(np.arange(299), np.arange(403)) * 255 // 700
    path = _save(Image.fromarray(ramp.astype(np.uint8)).convert("RGB"), tmp_path / "a.jpg", quality=95)
    photo = open_photo(path, reduce_to)
    assert photo.pixels.shape == (-(-299 // step), -(-403 // step), 3)
    assert reduce_to is None or step == 1 or min(photo.pixels.shape[:2]) >= reduce_to
    assert photo.size == (299, 403)
    assert photo.extent == (0.0, 0.0, 299 / step, 403 / step)
    # pixel (10, 20) averages the block of step x step pixels of the photo that it stands for
    block = ramp[10 * step : 11 * step, 20 * step : 21 * step].mean()
    np.testing.assert_allclose(photo.pixels[10, 20], block, atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_extent_turns_with_the_photo(tmp_path: Path, orientation: int) -> None:
    image = Image.fromarray(np.zeros((65, 75, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = orientation
    photo = open_photo(_save(image, tmp_path / "a.jpg", exif=exif), reduce_to=30)  # 1/2: 33 x 38
    assert photo.size == ((75, 65) if orientation > 4 else (65, 75))
    height, width = photo.size
    top = (
        0.5 if orientation in (3, 4, 7, 8) else 0.0
    )  # the half pixel that is no photo comes first when flipped
    left = 0.5 if orientation in (2, 3, 6, 7) else 0.0
    assert photo.extent == (top, left, top + height / 2, left + width / 2)


def test_reduction_leaves_other_formats_alone(tmp_path: Path) -> None:
    photo = open_photo(_save(Image.fromarray(SCENE), tmp_path / "a.png"), reduce_to=4)
    assert np.array_equal(photo.pixels, SCENE)
    assert photo.extent == (0.0, 0.0, 20.0, 32.0)


def _dicom(path: Path, array: np.ndarray) -> Path:
    itk.imwrite(itk.image_from_array(array, is_vector=array.shape[-1] == 3), str(path))
    return path


def test_dicom_colour_and_gray(tmp_path: Path) -> None:
    assert np.array_equal(read_photo(_dicom(tmp_path / "a.dcm", SCENE)), SCENE)
    gray = _dicom(tmp_path / "b.dcm", GRAY)
    assert np.array_equal(read_photo(gray)[..., 0], GRAY)
    gray.rename(tmp_path / "no_suffix")
    assert np.array_equal(read_photo(tmp_path / "no_suffix")[..., 2], GRAY)


def test_dicom_sixteen_bits_and_inverted(tmp_path: Path) -> None:
    path = _dicom(tmp_path / "a.dcm", GRAY.astype(np.uint16) * 257)
    assert np.array_equal(read_photo(path)[..., 1], GRAY)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"MONOCHROME2", b"MONOCHROME1"))
    assert np.array_equal(read_photo(path)[..., 1], 255 - GRAY)


def _broken(tmp_path: Path, case: str) -> Path:
    path = tmp_path / f"{case}.jpg"
    if case == "folder":
        path.mkdir()
    elif case == "empty":
        path.touch()
    elif case == "text":
        path.write_text("this is not a photo")
    elif case == "truncated":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        whole = _save(Image.fromarray(noise), path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif case == "damaged_dicom":
        path = _dicom(tmp_path / "a.dcm", SCENE)
        path.write_bytes(path.read_bytes()[:200])
    return path


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing", "no such file"),
        ("folder", "not a file"),
        ("empty", "empty"),
        ("text", "not an image"),
        ("truncated", "damaged"),
        ("damaged_dicom", "damaged"),
    ],
)
def test_unreadable_photos_are_named(tmp_path: Path, case: str, words: str) -> None:
    path = _broken(tmp_path, case)
    with pytest.raises(InputError, match=words) as caught:
        read_photo(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(Image.fromarray(SCENE), tmp_path / "a.png")
    monkeypatch.setattr(photo_module, "MAX_PIXELS", 20 * 32 - 1)
    for read in (read_photo, read_mask):
        with pytest.raises(InputError, match=r"a\.png.*limit of 639"):
            read(path)
    monkeypatch.setattr(photo_module, "MAX_PIXELS", 20 * 32)
    assert read_photo(path).shape == (20, 32, 3)


def test_a_lower_limit_of_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (20, 32)).save(tmp_path / "photo.png")
    assert open_photo(tmp_path / "photo.png", max_pixels=640).size == (32, 20)
    with pytest.raises(InputError, match=r"20 x 32 pixels are more than the limit of 639"):
        open_photo(tmp_path / "photo.png", max_pixels=639)


def test_decompression_bomb_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(Image.fromarray(SCENE), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"a\.png.*limit"):
        read_photo(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_turned_tiff_is_upright(tmp_path: Path, orientation: int, mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(Image.fromarray(SCENE).convert(mode), tmp_path / "a.tif", exif=exif)
    png = _save(Image.fromarray(SCENE).convert(mode), tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_photo(path), read_photo(png))
    assert open_photo(path).size == open_photo(png).size


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_heif_and_avif_are_read_by_their_content(tmp_path: Path, name: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    pillow_heif.register_heif_opener()
    scene = Image.fromarray(SCENE).resize((128, 80), Image.Resampling.NEAREST)
    for form in ("HEIF", "AVIF"):
        pixels = read_photo(_save(scene, tmp_path / name, format=form, quality=95))
        np.testing.assert_allclose(pixels[16, 32].astype(int), SCENE[4, 8], atol=12)


def test_heic_without_its_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_module, "_formats", lambda: ("JPEG", "PNG"))
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(
        InputError, match=r'a\.HEIC: HEIC photos are read with pip install "dermaseg-monai\[heic\]"'
    ):
        read_photo(tmp_path / "a.HEIC")


def test_postscript_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(Image.fromarray(SCENE), tmp_path / "a.jpg", format="EPS")
    monkeypatch.setattr("subprocess.check_call", lambda *_: pytest.fail("Ghostscript was called"))
    for read in (read_photo, read_mask):
        with pytest.raises(InputError, match="not an image of a known format"):
            read(path)


def test_which_files_any_reader_shows_alike(tmp_path: Path) -> None:
    scene = Image.fromarray(SCENE)
    turned = Image.Exif()
    turned[0x0112] = 3
    for name, expected, image, options in [
        ("a.jpg", ".jpg", scene, {}),
        ("b.jpg", ".png", scene, {"format": "PNG"}),
        ("c.png", ".png", Image.fromarray(GRAY), {}),
        ("d.png", None, scene, {"exif": turned}),
        ("e.png", None, scene.convert("RGBA"), {}),
        ("f.png", None, Image.fromarray(GRAY.astype(np.uint16) * 16), {}),
        ("g.jpg", None, scene.convert("CMYK"), {}),
        ("h.bmp", None, scene, {}),
        ("i.png", None, scene.quantize(4), {}),
    ]:
        assert open_photo(_save(image, tmp_path / name, **options)).portable == expected, name

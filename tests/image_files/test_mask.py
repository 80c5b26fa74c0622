from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dermaseg_monai.image_files import open_mask, read_index_map, read_levels, read_mask
from dermaseg_monai.image_files.mask import JPEG_MASK, TURNED_MASK
from dermaseg_monai.utils.errors import InputError

Y, X = np.mgrid[:60, :80]
TRUTH = (((X - 30) / 17) ** 2 + ((Y - 22) / 14) ** 2 < 1).astype(np.uint8)
WHITE = Image.fromarray(TRUTH * np.uint8(255))


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def grey(low: float, high: float, kind: type = np.uint8) -> Image.Image:
    return Image.fromarray(np.where(TRUTH, high, low).astype(kind))


def palette(*entries: tuple[int, int, int], **options: object) -> Image.Image:
    image = Image.fromarray(TRUTH, "P")
    image.putpalette([value for entry in entries for value in entry])
    return image


def rgba(inside: tuple[int, ...], outside: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.where(TRUTH[..., None], inside, outside).astype(np.uint8))


def hidden_colours() -> Image.Image:
    """White where the lesion is, and elsewhere transparent over the colours that an eraser leaves behind."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 4), np.uint8)
    pixels[..., 3] = TRUTH * 255
    pixels[TRUTH > 0] = 255
    return Image.fromarray(pixels)


def index_with_transparency() -> Image.Image:
    image = palette((10, 10, 10), (10, 10, 10))
    image.info["transparency"] = 0
    return image


TWO_VALUED = {
    "0/255": WHITE,
    "0/1": grey(0, 1),
    "0/38": grey(0, 38),
    "76/149": grey(76, 149),
    "one bit": Image.fromarray(TRUTH.astype(bool)),
    "16 bits": grey(0, 65535, np.uint16),
    "16 bits, 0/1": grey(0, 1, np.uint16),
    "RGB": WHITE.convert("RGB"),
    "red on black": rgba((255, 0, 0), (0, 0, 0)),
    "yellow on blue": rgba((255, 255, 0), (0, 0, 255)),
    "palette of two colours": palette((0, 0, 0), (128, 0, 0)),
    "palette of one colour": palette((0, 0, 0), (0, 0, 0)),
    "palette with transparency": index_with_transparency(),
    "white in alpha": rgba((255, 255, 255, 255), (255, 255, 255, 0)),
    "black in alpha": rgba((0, 0, 0, 255), (255, 255, 255, 0)),
    "grey and alpha": Image.merge("LA", (Image.new("L", (80, 60), 90), WHITE)),
    "white, and opaque throughout": WHITE.convert("RGBA"),
    "erased around": hidden_colours(),
}


@pytest.mark.parametrize("name", TWO_VALUED)
def test_any_two_values_are_a_mask(tmp_path: Path, name: str) -> None:
    mask = open_mask(save(TWO_VALUED[name], tmp_path / "a.png"))
    assert mask.pixels.dtype == np.uint8
    assert np.array_equal(mask.pixels, TRUTH)
    assert mask.notes == ()
    assert mask.portable == (name == "0/255")


@pytest.mark.parametrize("suffix", [".tif", ".bmp", ".gif", ".webp"])
def test_masks_of_other_formats(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    assert np.array_equal(read_mask(save(WHITE, tmp_path / f"a{suffix}", **options)), TRUTH)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_floats_and_integers(tmp_path: Path, kind: type) -> None:
    assert np.array_equal(read_mask(save(grey(0, 1, kind), tmp_path / "a.tif")), TRUTH)


@pytest.mark.parametrize(
    ("image", "value"),
    [
        (Image.new("L", (8, 6), 0), 0),
        (Image.new("L", (8, 6), 255), 1),
        (Image.new("L", (8, 6), 1), 1),
        (Image.new("1", (8, 6), 1), 1),
        (Image.new("RGB", (8, 6), "white"), 1),
        (Image.new("RGBA", (8, 6), (255, 255, 255, 0)), 0),
        (Image.fromarray(np.full((6, 8), 65535, np.uint16)), 1),
    ],
    ids=lambda value: getattr(value, "mode", str(value)),
)
def test_masks_of_one_value_are_empty_or_full(tmp_path: Path, image: Image.Image, value: int) -> None:
    assert np.array_equal(read_mask(save(image, tmp_path / "a.png")), np.full((6, 8), value))


def photo() -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 4, (60, 80, 1))
    colours = np.where(TRUTH[..., None], (96, 58, 44), (214, 160, 130))
    return Image.fromarray((colours + noise).clip(0, 255).astype(np.uint8))


def cut_out() -> Image.Image:
    image = photo()
    image.putalpha(WHITE)
    return image


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("a.png", photo(), "a picture in colours"),
        ("a.jpg", photo(), "a picture in colours"),
        ("a.jpg", photo().convert("L"), "grey levels, not two values"),
        ("a.png", WHITE.filter(ImageFilter.GaussianBlur(2)), "grey levels, not two values"),
        ("a.png", Image.fromarray(TRUTH + np.uint8(2) * (X > 60)), "3 grey levels"),
        ("a.png", Image.new("L", (8, 6), 7), "every pixel of this mask is 7"),
        ("a.png", cut_out(), "colours and the transparency of this mask say different things"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, name: str, image: Image.Image, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_mask(save(image, tmp_path / name))
    assert str(caught.value).startswith(str(tmp_path / name))


def test_soft_masks_are_read_when_told_to(tmp_path: Path) -> None:
    values = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    path = save(Image.fromarray(values), tmp_path / "a.png")
    with pytest.raises(InputError, match="4 grey levels"):
        open_mask(path)
    assert open_mask(path, soft=True).pixels.tolist() == [[0, 0, 1, 1]]
    probabilities = save(Image.fromarray(values.astype(np.float32) / 255), tmp_path / "b.tif")
    assert open_mask(probabilities, soft=True).pixels.tolist() == [[0, 0, 1, 1]]
    soft_alpha = Image.merge("LA", (Image.new("L", (4, 1), 255), Image.fromarray(values)))
    assert open_mask(save(soft_alpha, tmp_path / "c.png"), soft=True).pixels.tolist() == [[0, 0, 1, 1]]
    for image, message in ((photo(), "picture in colours"), (Image.fromarray(values // 3), "reaches 128")):
        with pytest.raises(InputError, match=message):
            open_mask(save(image, tmp_path / "d.png"), soft=True)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_masks_are_read_with_a_note(tmp_path: Path, mode: str) -> None:
    mask = open_mask(save(WHITE.convert(mode), tmp_path / "a.jpg", quality=75))
    assert (mask.pixels != TRUTH).mean() < 0.01
    assert mask.notes == (JPEG_MASK,)
    assert not mask.portable


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tags_of_masks_are_not_followed(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = open_mask(save(WHITE, tmp_path / f"a{suffix}", exif=exif))
    assert mask.pixels.shape == TRUTH.shape
    assert (mask.pixels != TRUTH).mean() < 0.01
    assert (TURNED_MASK in mask.notes) == (orientation != 1)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = np.zeros((4, 4), np.float32)
    values[0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        read_mask(save(Image.fromarray(values), tmp_path / "a.tif"))


def test_grey_levels(tmp_path: Path) -> None:
    levels = np.array([[0, 51, 204, 255]], dtype=np.uint8)
    for image in (Image.fromarray(levels), Image.fromarray(levels.astype(np.uint16) * 257)):
        values = read_levels(save(image, tmp_path / "levels.png"))
        assert values.dtype == np.float32
        assert values.tolist() == [pytest.approx([0, 0.2, 0.8, 1])]
    hard = Image.fromarray((levels > 128).astype(np.uint8))
    assert read_levels(save(hard, tmp_path / "hard.png")).tolist() == [[0, 0, 1, 1]]
    colours = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    with pytest.raises(InputError, match="a picture in colours"):
        read_levels(save(colours, tmp_path / "colours.png"))


def test_index_maps(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [2, 0, 1]], np.uint8)
    first, second = read_index_map(save(Image.fromarray(values), tmp_path / "a.png"), 2)
    assert first.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert second.tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(InputError, match=r"a\.png: an index map holds 0 to 1"):
        read_index_map(tmp_path / "a.png", 1)

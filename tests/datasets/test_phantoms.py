"""Phantoms: what they promise about masks, files, and how hard they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dermaseg_monai.datasets.isic2018 import ATTRIBUTES
from dermaseg_monai.datasets.phantoms import Phantom, render_phantom, write_phantoms
from dermaseg_monai.datasets.phantoms.lesion import one_region
from dermaseg_monai.datasets.phantoms.structures import PREVALENCE
from dermaseg_monai.utils.errors import InputError

SIZE = (96, 128)


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [render_phantom(seed, SIZE) for seed in range(150)]


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def luminance(image: np.ndarray) -> np.ndarray:
    return np.rint(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def otsu(grey: np.ndarray) -> int:
    """The level that parts ``grey`` into two classes with the largest variance between them."""
    counts = np.bincount(grey.ravel(), minlength=256)
    number, total = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    shift = total[-1] * number / number[-1] - total
    return int(np.argmax(shift**2 / np.maximum(number * (number[-1] - number), 1.0)))


def test_otsu_parts_two_tones() -> None:
    assert 50 <= otsu(np.repeat(np.array([[50, 200]], np.uint8), 9, axis=0)) < 200


def test_shapes_and_types() -> None:
    for size in ((32, 32), (50, 71), (192, 256), (256, 192)):
        phantom = render_phantom(3, size)
        assert phantom.image.shape == (*size, 3)
        assert phantom.image.dtype == np.uint8
        assert phantom.lesion.shape == size
        assert phantom.lesion.dtype == bool
        assert phantom.attributes.shape == (5, *size)
        assert phantom.attributes.dtype == bool


def test_default_size() -> None:
    assert render_phantom(0).lesion.shape == (192, 256)


def test_same_seed_same_phantom() -> None:
    first, again, other = render_phantom(11, SIZE), render_phantom(11, SIZE), render_phantom(12, SIZE)
    for name in ("image", "lesion", "attributes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.image != other.image).any()


def test_same_scene_at_another_size() -> None:
    agreements = []
    for seed in range(10):
        small, large = render_phantom(seed, SIZE).lesion, render_phantom(seed, (192, 256)).lesion
        agreements.append(jaccard(small, large[::2, ::2]))
    assert min(agreements) > 0.85


def test_lesion_is_one_region_without_holes(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        assert ndimage.label(phantom.lesion)[1] == 1
        np.testing.assert_array_equal(ndimage.binary_fill_holes(phantom.lesion), phantom.lesion)


def test_lesion_sizes_vary(phantoms: list[Phantom]) -> None:
    shares = np.array([phantom.lesion.mean() for phantom in phantoms])
    assert shares.min() > 0.018
    assert shares.max() < 0.72
    assert np.quantile(shares, 0.1) < 0.06
    assert np.quantile(shares, 0.9) > 0.35


def test_some_lesions_are_cut_by_the_frame(phantoms: list[Phantom]) -> None:
    cut = [
        mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()
        for mask in (phantom.lesion for phantom in phantoms)
    ]
    assert 0.05 < np.mean(cut) < 0.4


def test_attributes_lie_inside_the_lesion(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        assert not (phantom.attributes & ~phantom.lesion).any()


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_are_drawn_where_the_masks_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = ATTRIBUTES.index(name)
    for seed in range(40, 46):
        for other in ATTRIBUTES:
            monkeypatch.setitem(PREVALENCE, other, 0.0)
        plain = render_phantom(seed, SIZE)
        monkeypatch.setitem(PREVALENCE, name, 1.0)
        drawn = render_phantom(seed, SIZE)
        assert not plain.attributes.any()
        assert drawn.attributes.any((1, 2)).tolist() == [at == index for at in range(len(ATTRIBUTES))]
        change = np.abs(drawn.image.astype(int) - plain.image).mean(2)
        mask = drawn.attributes[index]
        assert change[mask].mean() > 2
        assert change[mask].mean() > 4 * change[~mask].mean()


def test_every_seed_shows_a_lesion() -> None:
    for seed in range(1000, 1200):
        phantom = render_phantom(seed, (32, 40))
        assert phantom.lesion.mean() > 0.015


def test_attribute_prevalence(phantoms: list[Phantom]) -> None:
    present = np.array([phantom.attributes.any((1, 2)) for phantom in phantoms])
    expected = np.array([0.59, 0.07, 0.05, 0.26, 0.23])
    assert list(PREVALENCE) == list(ATTRIBUTES)
    # three standard errors of a share among 150
    np.testing.assert_array_less(
        np.abs(present.mean(0) - expected), 3 * np.sqrt(expected * (1 - expected) / 150)
    )
    assert 0.12 < (~present.any(1)).mean() < 0.29


def test_skin_and_lesion_colours_vary(phantoms: list[Phantom]) -> None:
    skin = np.array([np.median(luminance(phantom.image)[~phantom.lesion]) for phantom in phantoms])
    inside = np.array([np.median(luminance(phantom.image)[phantom.lesion]) for phantom in phantoms])
    assert np.quantile(skin, 0.95) - np.quantile(skin, 0.05) > 60
    assert np.quantile(inside, 0.95) - np.quantile(inside, 0.05) > 80
    # most lesions are darker than the skin about them, by eye as well as by number
    assert np.mean(inside < skin - 8) > 0.8


def test_thresholds_do_not_solve_them(phantoms: list[Phantom]) -> None:
    greys = [luminance(phantom.image) for phantom in phantoms]
    own = [jaccard(grey <= otsu(grey), phantom.lesion) for grey, phantom in zip(greys, phantoms, strict=True)]
    shared = [
        np.mean(
            [jaccard(grey <= level, phantom.lesion) for grey, phantom in zip(greys, phantoms, strict=True)]
        )
        for level in range(30, 230, 10)
    ]
    assert np.mean(own) < 0.65
    assert max(shared) < 0.6
    # where nothing lies in the way the lesion is plain to see, so the task is no riddle either
    assert np.mean(np.array(own) > 0.75) > 0.15


def test_a_guess_does_not_solve_them(phantoms: list[Phantom]) -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    rows, columns = (rows + 0.5) / SIZE[0] - 0.5, (columns + 0.5) / SIZE[1] - 0.5
    guesses = [np.hypot(rows, columns) < radius for radius in np.linspace(0.1, 0.6, 11)]
    best = max(np.mean([jaccard(guess, phantom.lesion) for phantom in phantoms]) for guess in guesses)
    assert best < 0.55


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # the larger of two regions
        (["##..", "##..", "...#"], ["##..", "##..", "...."]),
        # a hole closes, a bay at the edge stays open
        (["####", "#.##", "##.."], ["####", "####", "##.."]),
        # corners do not join
        (["##..", "..##", "..##"], ["....", "..##", "..##"]),
    ],
)
def test_one_region(rows: list[str], expected: list[str]) -> None:
    mask, want = (np.array([[sign == "#" for sign in row] for row in table]) for table in (rows, expected))
    np.testing.assert_array_equal(one_region(mask), want)


def test_files_in_the_official_layout(tmp_path) -> None:
    write_phantoms(tmp_path, count=3, size=64)
    names = [f"ISIC_900000{index}" for index in range(3)]
    expected = {f"ISIC2018_Task1-2_Training_Input/{name}.jpg" for name in names}
    expected |= {f"ISIC2018_Task1_Training_GroundTruth/{name}_segmentation.png" for name in names}
    expected |= {
        f"ISIC2018_Task2_Training_GroundTruth_v3/{name}_attribute_{attribute}.png"
        for name, attribute in itertools.product(
            names, ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")
        )
    }
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == expected
    for relative in expected:
        with Image.open(tmp_path / relative) as image:
            name = relative.split("/")[1][:12]
            with Image.open(tmp_path / f"ISIC2018_Task1-2_Training_Input/{name}.jpg") as photo:
                assert image.size == photo.size
            assert max(image.size) == 64
            assert image.mode == ("RGB" if relative.endswith(".jpg") else "L")
            if image.mode == "L":
                assert set(np.unique(image)) <= {0, 255}


def test_writing_again_changes_nothing_and_more_keep_the_first(tmp_path) -> None:
    write_phantoms(tmp_path, count=2, size=64, seed=5)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_phantoms(tmp_path, count=4, size=64, seed=5)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(tmp_path.glob("*_Input/*.jpg"))) == 4
    write_phantoms(tmp_path, count=2, size=64, seed=6)
    assert any(path.read_bytes() != data for path, data in before.items())


def test_aspects_vary(tmp_path) -> None:
    write_phantoms(tmp_path, count=12, size=48)
    sizes = {Image.open(path).size for path in tmp_path.glob("*_Input/*.jpg")}
    assert len(sizes) > 1
    assert all(0.6 < height / width < 0.85 for width, height in sizes)


@pytest.mark.parametrize("arguments", [{"count": 0}, {"count": 1, "size": 40}, {"count": 1, "seed": -1}])
def test_bad_arguments_for_a_set(tmp_path, arguments: dict[str, int]) -> None:
    with pytest.raises(InputError):
        write_phantoms(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [(-1, SIZE), (0, (31, 64)), (0, (64, 31))])
def test_bad_arguments_for_one(arguments: tuple[int, tuple[int, int]]) -> None:
    with pytest.raises(InputError):
        render_phantom(*arguments)

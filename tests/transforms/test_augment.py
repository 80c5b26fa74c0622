from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.utils import set_determinism
from torchvision.transforms.v2 import functional as tv

from dermaseg_monai.transforms import BatchAugment, dictionary_augment
from dermaseg_monai.utils.errors import InputError

HEIGHT, WIDTH = 48, 64


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _ramps(count: int) -> torch.Tensor:
    """Coordinate photos: red rises with x, green with y, by 2 per pixel; blue is constant."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    photo = torch.stack([x * 2 + 60, y * 2 + 60, torch.full_like(x, 100)]).to(torch.uint8)
    return photo.expand(count, 3, HEIGHT, WIDTH)


def _affine_of(photo: torch.Tensor) -> np.ndarray:
    """Read back the map from output to input pixels about the centre: (2, 3), rows x and y."""
    centre = photo[:2, HEIGHT // 2 - 4 : HEIGHT // 2 + 4, WIDTH // 2 - 4 : WIDTH // 2 + 4].double().numpy()
    source = (centre - 60) / 2 - np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])[:, None, None]
    y, x = np.mgrid[-4:4, -4:4] + 0.5
    design = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    return np.linalg.lstsq(design, source.reshape(2, -1).T, rcond=None)[0].T


def test_nothing_asked_changes_nothing() -> None:
    image = torch.randint(0, 256, (2, 3, 20, 30), generator=_generator()).to(torch.uint8)
    label = (image[:, :1] > 100).to(torch.uint8)
    batch = {"image": image, "label": label, "id": ["a", "b"]}
    result = BatchAugment(flip=False)(batch, _generator())
    assert result["image"].dtype == torch.float32
    torch.testing.assert_close(result["image"], image.float(), atol=1e-3, rtol=0)
    assert result["label"].dtype == torch.uint8
    assert torch.equal(result["label"], label)
    assert result["id"] == ["a", "b"]
    assert batch["image"] is image


def test_flips_are_exact_and_all_four_occur() -> None:
    image = torch.randint(0, 256, (64, 3, 6, 10), generator=_generator()).to(torch.uint8)
    label = (image[:, :1] > 100).to(torch.uint8)
    result = BatchAugment()({"image": image, "label": label}, _generator())
    seen = set()
    for before, after, mask, mask_after in zip(image, result["image"], label, result["label"], strict=True):
        for dims in ((), (1,), (2,), (1, 2)):
            if torch.allclose(after, before.float().flip(dims), atol=1e-3):
                seen.add(dims)
                assert torch.equal(mask_after, mask.flip(dims))
                break
        else:
            pytest.fail("a result is no flip of its photo")
    assert seen == {(), (1,), (2,), (1, 2)}


def test_same_generator_state_same_result() -> None:
    augment = BatchAugment(rotate=180, scale=(0.8, 1.2), shift=0.1, brightness=0.2, hue=0.05)
    batch = {"image": _ramps(4), "label": (_ramps(4)[:, :1] > 100).to(torch.uint8)}
    first, again, other = (augment(batch, _generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first["image"], again["image"])
    assert torch.equal(first["label"], again["label"])
    assert not torch.equal(first["image"], other["image"])
    assert not torch.equal(first["image"][0], first["image"][1])  # each sample draws for itself


@pytest.mark.parametrize("crop_size", [None, (32, 40)])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_photo_and_label_stay_aligned(padding: str, crop_size: tuple[int, int] | None) -> None:
    photo = _ramps(32)
    label = torch.cat([photo[:, :1] > 119, photo[:, 1:2] > 99], dim=1).to(torch.uint8)
    augment = BatchAugment(
        rotate=180, scale=(0.7, 1.4), shift=0.2, shear=0.2, padding=padding, crop_size=crop_size
    )
    result = augment({"image": photo, "label": label}, _generator())
    assert result["label"].shape == (32, 2, *(crop_size or (HEIGHT, WIDTH)))
    # the photo tells where each output pixel came from; beyond a pixel (2 grey values) of the boundary the
    # label must say the same
    inside = result["image"][:, 2:] > 99.9  # whatever zero padding touches is left out
    for channel, boundary in ((0, 119.0 + 1), (1, 99.0 + 1)):
        source = result["image"][:, channel : channel + 1]
        clear = inside & ((source - boundary).abs() > 2)
        expected = source > boundary
        assert clear.float().mean() > 0.3
        assert torch.equal((result["label"][:, channel : channel + 1] == 1)[clear], expected[clear])


def test_known_rotation_and_magnification() -> None:
    augment = BatchAugment(flip=False, rotate=180, scale=(2, 2))
    maps = [_affine_of(photo) for photo in augment({"image": _ramps(16)}, _generator())["image"]]
    for affine in maps:
        linear = affine[:, :2] * 2  # the map shows half the side at magnification 2
        np.testing.assert_allclose(linear @ linear.T, np.eye(2), atol=1e-3)
        assert np.linalg.det(linear) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(affine[:, 2], 0, atol=1e-3)
    assert np.std([affine[0, 1] for affine in maps]) > 0.2


def test_crops_are_whole_windows() -> None:
    photo = _ramps(200)
    result = BatchAugment(flip=False, crop_size=(46, 61))({"image": photo}, _generator())["image"]
    corners = ((result[:, :2, 0, 0] - 60) / 2).round().int()
    assert {tuple(corner) for corner in corners.tolist()} == {(x, y) for x in range(4) for y in range(3)}
    for window, (x, y) in zip(result, corners.tolist(), strict=True):
        torch.testing.assert_close(window, photo[0, :, y : y + 46, x : x + 61].float(), atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_is_that_of_torchvision(name: str) -> None:
    photo = torch.randint(60, 160, (8, 3, 12, 14), generator=_generator()).float()
    augment = BatchAugment(flip=False, **{name: 0.3})
    result = augment({"image": photo}, _generator())["image"]
    adjust = {
        "brightness": tv.adjust_brightness,
        "contrast": tv.adjust_contrast,
        "saturation": tv.adjust_saturation,
    }[name]
    factors = []
    for before, after in zip(photo, result, strict=True):
        # a change is linear in its factor, so one known change gives the factor
        step = adjust(before / 255, 1.3) * 255 - before
        factor = 1 + 0.3 * float(((after - before) * step).sum() / (step * step).sum())
        torch.testing.assert_close(after, adjust(before / 255, factor) * 255, atol=0.05, rtol=0)
        factors.append(factor)
    assert 0.7 <= min(factors) < 0.95
    assert 1.05 < max(factors) <= 1.3


def test_brightness_and_contrast_compose() -> None:
    """Contrast turns about the mean luminance of the brightened photo, so only brightness moves that mean."""
    photo = torch.randint(110, 140, (64, 3, 12, 14), generator=_generator()).float()
    result = BatchAugment(flip=False, brightness=0.1, contrast=1.0)({"image": photo}, _generator())["image"]
    luma = torch.tensor([0.2989, 0.587, 0.114])[:, None, None]
    before, after = (photo * luma).sum(1).flatten(1), (result * luma).sum(1).flatten(1)
    brightness = after.mean(1) / before.mean(1)
    contrast = after.std(1) / before.std(1) / brightness
    assert 0.9 - 1e-3 <= brightness.min() < 0.92
    assert 1.08 < brightness.max() <= 1.1 + 1e-3
    assert 0 <= contrast.min() < 0.2
    assert 1.8 < contrast.max() <= 2 + 1e-3
    for sample in range(64):
        b, c = float(brightness[sample]), float(contrast[sample])
        expected = tv.adjust_contrast(tv.adjust_brightness(photo[sample] / 255, b), c) * 255
        torch.testing.assert_close(result[sample], expected, atol=0.1, rtol=0)


def test_hue_keeps_gray_and_luminance() -> None:
    photo = torch.randint(80, 140, (8, 3, 12, 14), generator=_generator()).float()
    photo[..., 0] = 90.0  # a gray column
    result = BatchAugment(flip=False, hue=0.1)({"image": photo}, _generator())["image"]
    torch.testing.assert_close(result[..., 0], photo[..., 0], atol=0.05, rtol=0)
    luma = torch.tensor([0.2989, 0.587, 0.114])[:, None, None]
    torch.testing.assert_close((result * luma).sum(1), (photo * luma).sum(1), atol=0.05, rtol=0)
    assert (result - photo).abs().mean() > 2
    # red turns towards yellow or magenta by at most a tenth of the circle, never to green or blue
    red = torch.tensor([180.0, 60.0, 60.0]).reshape(1, 3, 1, 1).repeat(64, 1, 1, 1)
    turned = BatchAugment(flip=False, hue=0.1)({"image": red}, _generator())["image"]
    assert bool((turned.argmax(dim=1) == 0).all())


def test_photo_is_clipped_to_its_range() -> None:
    photo = torch.randint(0, 256, (8, 3, 8, 8), generator=_generator()).to(torch.uint8)
    result = BatchAugment(brightness=1.0, contrast=1.0)({"image": photo}, _generator())["image"]
    assert result.min() >= 0
    assert result.max() <= 255.001
    assert result.max() > 254


def test_soft_label() -> None:
    label = torch.zeros(8, 1, 16, 16, dtype=torch.uint8)
    label[..., 4:12, 4:12] = 1
    result = BatchAugment(rotate=45, soft_label=True)(
        {"image": _ramps(8)[..., :16, :16], "label": label}, _generator()
    )
    assert result["label"].dtype == torch.float32
    assert ((result["label"] > 0.1) & (result["label"] < 0.9)).any()
    assert result["label"].mean() == pytest.approx(0.25, abs=0.01)


def test_autocast_changes_nothing() -> None:
    augment = BatchAugment(rotate=90, brightness=0.2, saturation=0.2)
    plain = augment({"image": _ramps(2)}, _generator())["image"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment({"image": _ramps(2)}, _generator())["image"], plain)


def test_meta_is_dropped() -> None:
    image = MetaTensor(_ramps(2).clone(), meta={"extent": (0, 0, 1, 1)})
    assert type(BatchAugment()({"image": image}, _generator())["image"]) is torch.Tensor


def test_errors() -> None:
    for wrong, words in (
        ({"rotate": 200}, "rotate is 200"),
        ({"scale": (1.2, 0.8)}, "scale is"),
        ({"scale": (0, 1)}, "scale is"),
        ({"padding": "wrap"}, "padding is 'wrap'"),
        ({"brightness": -0.1}, "brightness is"),
    ):
        with pytest.raises(InputError, match=words):
            BatchAugment(**wrong)
    with pytest.raises(InputError, match="crop no more"):
        BatchAugment(crop_size=(100, 10))({"image": _ramps(1)})
    with pytest.raises(InputError, match="must agree"):
        BatchAugment()({"image": _ramps(1), "label": torch.zeros(1, 1, 4, 4)})
    with pytest.raises(InputError, match="soft_label"):
        dictionary_augment((8, 8), soft_label=True)


RANGES = {
    "flip": True,
    "rotate": 30,
    "scale": (0.8, 1.3),
    "shift": 0.1,
    "shear": 0.1,
    "padding": "reflection",
}
DRAWS = 600


def _parameters(photos: list[torch.Tensor]) -> np.ndarray:
    """Read back (N, 7): flip in x and y, angle, magnification, shift in x and y, skew."""
    rows = []
    for photo in photos:
        affine = _affine_of(photo)
        linear = affine[:, :2]
        determinant = np.linalg.det(linear)
        # the photo is flipped first, so the flip stands leftmost; angles stay below 90 degrees
        flip_x, flip_y = np.sign(linear[0, 0]), np.sign(linear[1, 1])
        flip = np.diag([flip_x, flip_y])
        unflipped = flip @ linear
        angle = math.atan2(unflipped[1, 0] - unflipped[0, 1], unflipped[0, 0] + unflipped[1, 1])
        shift = np.linalg.solve(linear, affine[:, 2]) * math.sqrt(abs(determinant))
        skew = (unflipped[:, 0] @ unflipped[:, 1]) / abs(determinant)
        rows.append(
            [
                flip_x,
                flip_y,
                angle,
                1 / math.sqrt(abs(determinant)),
                shift[0] / WIDTH,
                shift[1] / HEIGHT,
                skew,
            ]
        )
    return np.array(rows)


@pytest.fixture(scope="module")
def both() -> tuple[np.ndarray, np.ndarray]:
    label = torch.ones(DRAWS, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    batch = BatchAugment(**RANGES)({"image": _ramps(DRAWS), "label": label}, _generator())
    set_determinism(0)
    single = dictionary_augment((HEIGHT, WIDTH), **RANGES)
    single.set_random_state(0)
    photos = []
    for _ in range(DRAWS):
        item = single({"image": _ramps(1)[0], "label": label[0]})
        assert item["label"].dtype == torch.uint8
        photos.append(item["image"].as_tensor())
    set_determinism(None)
    return _parameters(list(batch["image"])), _parameters(photos)


def _assert_same_moments(a: np.ndarray, b: np.ndarray) -> None:
    """Means and standard deviations agree within four standard errors of their differences."""
    error = math.sqrt((a.var() + b.var()) / len(a))
    assert abs(a.mean() - b.mean()) < 4 * error + 1e-6

    def error_of_deviation(values: np.ndarray) -> float:
        fourth = ((values - values.mean()) ** 4).mean()
        return float((fourth - values.var() ** 2) / (4 * values.var() * len(values)))

    assert abs(a.std() - b.std()) < 4 * math.sqrt(error_of_deviation(a) + error_of_deviation(b)) + 1e-3


@pytest.mark.parametrize("column", range(7))
def test_geometry_is_distributed_as_in_the_dictionary_transforms(
    both: tuple[np.ndarray, np.ndarray], column: int
) -> None:
    _assert_same_moments(both[0][:, column], both[1][:, column])


@pytest.mark.parametrize(
    ("column", "low", "high"),
    [(2, -0.63, 0.63), (3, 0.8, 1.3), (4, -0.1, 0.1), (5, -0.1, 0.1)],
)
def test_geometry_keeps_to_its_ranges(
    both: tuple[np.ndarray, np.ndarray], column: int, low: float, high: float
) -> None:
    for parameters in both:
        # the shear's turn adds to the angle, and its square to the shift
        values = parameters[:, column]
        slack = 0.03 * (high - low)
        assert low - slack <= values.min()
        assert values.max() <= high + slack
        assert values.max() - values.min() > 0.75 * (high - low)


def test_colour_is_distributed_as_in_the_dictionary_transforms() -> None:
    ranges = {"flip": False, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
    photo = torch.randint(100, 150, (1, 3, 6, 8), generator=_generator()).to(torch.uint8)
    photo[:, 0] += 20
    batch = BatchAugment(**ranges)({"image": photo.expand(DRAWS, -1, -1, -1)}, _generator())["image"]
    set_determinism(0)
    single = dictionary_augment((6, 8), **ranges)
    item = {"image": photo[0], "label": torch.zeros(1, 6, 8, dtype=torch.uint8)}
    plain = torch.stack([single(item)["image"].as_tensor() for _ in range(DRAWS)])
    set_determinism(None)
    for statistic in (
        lambda x: x.mean(dim=(1, 2, 3)),  # brightness
        lambda x: x.std(dim=(2, 3)).mean(1),  # contrast
        lambda x: x[:, 0].mean(dim=(1, 2)) - x[:, 2].mean(dim=(1, 2)),  # saturation
    ):
        _assert_same_moments(statistic(batch).double().numpy(), statistic(plain).double().numpy())


def test_hue_is_one_turn_about_the_gray_axis_in_both() -> None:
    """Of a flat photo the angle of the turn can be read back; luminance and the length of chroma stay."""
    yiq = torch.tensor([[0.2989, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    photo = torch.tensor([150, 110, 90], dtype=torch.uint8)[:, None, None].expand(3, 6, 8)
    batch = BatchAugment(flip=False, hue=0.1)({"image": photo.expand(DRAWS, -1, -1, -1)}, _generator())
    single = dictionary_augment((6, 8), flip=False, hue=0.1)
    single.set_random_state(0)
    item = {"image": photo, "label": torch.zeros(1, 6, 8, dtype=torch.uint8)}
    plain = torch.stack([single(item)["image"].as_tensor() for _ in range(DRAWS)])
    luma, *chroma = yiq @ photo[:, 0, 0].float()
    begin, length = math.atan2(chroma[1], chroma[0]), math.hypot(*chroma)
    angles = []
    for result in (batch["image"], plain):
        turned = result[..., 3, 4] @ yiq.T
        np.testing.assert_allclose(turned[:, 0], luma, atol=0.01)
        np.testing.assert_allclose(turned[:, 1:].norm(dim=1), length, rtol=1e-3)
        angles.append((torch.atan2(turned[:, 2], turned[:, 1]) - begin).double().numpy())
    for turns in angles:
        assert np.abs(turns).max() <= 2 * math.pi * 0.1 + 1e-3
        assert np.ptp(turns) > 0.95 * 4 * math.pi * 0.1
    _assert_same_moments(*angles)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.transforms import CropLensd, Fitd, LoadMaskd, LoadPhotod, RestoreSized, find_lens
from dermaseg_monai.transforms.geometry import geometry_of
from dermaseg_monai.utils.errors import InputError


def _skin(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(-8, 9, (height, width, 3))
    return (np.array([210, 160, 140]) + noise).astype(np.uint8)


def _frame(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 20, (height, width, 3)).astype(np.uint8)


def _disc(height: int, width: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width] + 0.5
    return np.hypot(y - centre[0], x - centre[1]) < radius


def _lens(height: int, width: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    disc = _disc(height, width, centre, radius)[..., None]
    return np.where(disc, _skin(height, width), _frame(height, width))


def test_disc_in_a_wide_frame() -> None:
    assert find_lens(_lens(300, 400, (150, 220), 130)) == (20, 90, 280, 350)


def test_rectangular_frame_with_writing() -> None:
    photo = _frame(200, 300)
    photo[30:180, 40:270] = _skin(150, 230)
    photo[190:196, 10:60] = 255  # a time stamp on the frame
    assert find_lens(photo) == (30, 40, 180, 270)


def test_dark_corners_alone_leave_the_photo_whole() -> None:
    assert find_lens(_lens(300, 400, (150, 200), 220)) == (0, 0, 300, 400)


def test_photos_without_a_frame_stay_whole() -> None:
    skin = _skin(100, 150)
    assert find_lens(skin) == (0, 0, 100, 150)
    skin[:60, :80] = (70, 45, 40)  # a dark lesion in the corner
    assert find_lens(skin) == (0, 0, 100, 150)
    assert find_lens(_frame(100, 150)) == (0, 0, 100, 150)
    nearly_black = _frame(100, 150)
    nearly_black[40:60, 40:60] = 200
    assert find_lens(nearly_black) == (0, 0, 100, 150)


def test_large_photos_are_cropped_within_a_grid_step() -> None:
    box = np.array(find_lens(_lens(2000, 3000, (1000, 1400), 900)))
    truth = np.array([100, 500, 1900, 2300])
    slack = (box - truth) * np.array([-1, -1, 1, 1])  # frame left over on each side
    assert (slack >= 0).all()
    assert (slack <= 3000 // 512 + 8).all()  # a grid step, and the disc's flat top between grid lines


def _write(folder: Path, photo: np.ndarray, mask: np.ndarray) -> dict[str, str]:
    Image.fromarray(photo).save(folder / "a.jpg", quality=95)
    Image.fromarray(mask * np.uint8(255)).save(folder / "a.png")
    return {"image": str(folder / "a.jpg"), "label": str(folder / "a.png")}


@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("reduce_to", [None, 100])
def test_crop_fit_restore_is_aligned(tmp_path: Path, aspect: str, reduce_to: int | None) -> None:
    photo = _lens(407, 611, (210, 330), 170)
    lesion = _disc(407, 611, (170, 380), 70)
    photo[lesion] = (90, 50, 45)
    item = LoadMaskd()(LoadPhotod("image", reduce_to)(_write(tmp_path, photo, lesion.astype(np.uint8))))
    item = CropLensd()(item)
    shown = geometry_of(item["image"]).to_photo(geometry_of(item["image"]).content)
    np.testing.assert_allclose(shown, (40, 160, 380, 500), atol=6)
    assert geometry_of(item["label"]).to_photo(geometry_of(item["label"]).content) == shown
    item = Fitd(size=(96, 128), aspect=aspect)(item)
    dark = item["image"].numpy()[0] < 140
    on_canvas = item["label"].numpy()[0] == 1
    y, x = np.mgrid[:96, :128]
    inside = np.hypot((y - 48) / 48, (x - 64) / (64 if aspect == "squash" else 48)) < 0.9
    assert (dark & on_canvas & inside).sum() / ((dark & inside) | on_canvas).sum() > 0.93
    item["pred"] = item["label"].float()
    restored = RestoreSized()(item)["pred"].numpy()
    assert restored.shape == (1, 407, 611)
    predicted = restored[0] >= 0.5
    assert (predicted & lesion).sum() / (predicted | lesion).sum() > 0.96
    assert not restored[0, :30].any()  # what was cropped away is background


@pytest.mark.parametrize(
    ("reduce_to", "crop_lens", "step"),
    [(100, False, 8), (100, True, 4), (200, True, 2), (400, True, 1), (None, True, 1)],
)
def test_decoding_is_reduced_by_what_the_lens_shows(
    tmp_path: Path, reduce_to: int | None, crop_lens: bool, step: int
) -> None:
    photo = _lens(900, 1300, (450, 700), 330)
    item = LoadPhotod("image", reduce_to, crop_lens)(_write(tmp_path, photo, np.eye(2, dtype=np.uint8)))
    assert item["image"].shape == (3, -(-900 // step), -(-1300 // step))
    assert item["image"].meta["original_size"] == (900, 1300)
    shown = CropLensd("image")(item)["image"].shape[1:]
    assert not crop_lens or step == 1 or min(shown) >= (reduce_to or 0)


@pytest.mark.parametrize("bundle", ["attribute_unet", "attribute_inception_aspp_unet"])
def test_training_and_inference_see_the_same_pixels(tmp_path: Path, bundle: str) -> None:
    item = _write(tmp_path, _lens(900, 1300, (450, 700), 330), np.zeros((900, 1300), dtype=np.uint8))
    settings = {"image_size": [48, 48], "attributes": None}
    seen = []
    for name, steps in (("train", "train#preprocessing"), ("inference", "preprocessing")):
        parser = ConfigParser()
        parser.read_config(str(bundle_folder(bundle) / "configs" / f"{name}.json"))
        parser.update(settings)
        image = item
        for transform in parser.get_parsed_content(steps).transforms:
            if isinstance(transform, Fitd):
                assert min(image["image"].shape[1:]) >= 2 * 48
                assert image["image"].shape[1:] < (900, 1300)
            image = transform(image)
            if isinstance(transform, Fitd):
                break
        seen.append(image["image"].as_tensor())
    assert torch.equal(*seen)


def test_outside_value_and_uncropped_photos(tmp_path: Path) -> None:
    paths = _write(tmp_path, _lens(200, 300, (100, 150), 80), np.eye(2, dtype=np.uint8))
    item = Fitd("image", (64, 64))(CropLensd("image")(LoadPhotod()(paths)))
    item["pred"] = torch.zeros(1, 64, 64)
    restored = RestoreSized(outside=-20.0)(item)["pred"]
    assert restored[0, 0, 0] == -20
    assert restored[0, 100, 150] == 0
    whole = LoadPhotod()(_write(tmp_path, _skin(50, 60), np.eye(2, dtype=np.uint8)))
    assert CropLensd("image")(whole)["image"] is whole["image"]


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="level is 300"):
        CropLensd(level=300)
    item = LoadMaskd()(LoadPhotod()(_write(tmp_path, _skin(50, 60), np.eye(2, dtype=np.uint8))))
    with pytest.raises(InputError, match="a photo and its masks must agree"):
        CropLensd()(item)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from dermaseg_monai.transforms import Fitd, LoadMaskd, LoadPhotod, RestoreSized, fit_mask, fit_photo
from dermaseg_monai.transforms.geometry import geometry_of, placement
from dermaseg_monai.utils.errors import InputError


@pytest.mark.parametrize(
    ("shape", "size", "aspect", "expected"),
    [
        ((300, 400), (256, 256), "squash", (0, 0, 256, 256)),
        ((300, 400), (256, 256), "pad", (32, 0, 224, 256)),
        ((400, 300), (256, 256), "pad", (0, 32, 256, 224)),
        ((300, 400), (192, 512), "pad", (0, 128, 192, 384)),
        ((50, 50), (100, 200), "pad", (0, 50, 100, 150)),
        ((3000, 2), (64, 64), "pad", (0, 31, 64, 32)),
        ((33, 64), (64, 64), "pad", (15, 0, 48, 64)),
    ],
)
def test_placement(
    shape: tuple[int, int], size: tuple[int, int], aspect: str, expected: tuple[int, ...]
) -> None:
    assert placement(shape, size, aspect) == expected


def test_photo_is_averaged_over_areas() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    fitted = fit_photo(pixels, (30, 60))
    reference = tv.resize(torch.from_numpy(pixels).permute(2, 0, 1).float(), [30, 60], antialias=True)
    np.testing.assert_allclose(fitted.transpose(2, 0, 1), reference.numpy(), atol=1.01)


def test_enlarging_interpolates_between_pixel_centres() -> None:
    pixels = np.repeat(np.array([[0, 100]], dtype=np.uint8)[..., None], 3, axis=-1)
    assert fit_photo(pixels, (1, 4))[0, :, 0].tolist() == [0, 25, 75, 100]


def test_mask_is_one_where_half_of_the_area_is() -> None:
    mask = np.zeros((4, 8), dtype=np.uint8)
    mask[:2, 0] = 1  # 2 of the 4 pixels of the first square
    mask[0, 2] = 1  # 1 of 4
    mask[:2, 4:6] = 1  # all
    mask[2:, 6:] = [[1, 1], [1, 0]]  # 3 of 4
    assert fit_mask(mask, (2, 4)).tolist() == [[1, 0, 1, 0], [0, 0, 0, 1]]


def test_enlarged_mask_has_straight_edges() -> None:
    mask = np.zeros((2, 4), dtype=np.uint8)
    mask[:, 1:3] = 1
    enlarged = fit_mask(mask, (6, 12))
    assert np.array_equal(enlarged, np.kron(mask, np.ones((3, 3), np.uint8)))
    assert fit_mask(np.eye(2, dtype=np.uint8), (2, 2)).tolist() == [[1, 0], [0, 1]]


def _ellipse(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] + 0.5
    # off centre, tilted: no flip or transposition of it is itself
    dy, dx = y / height - 0.4, x / width - 0.62
    return ((dx + 0.5 * dy) ** 2 / 0.06 + (dy - 0.3 * dx) ** 2 / 0.02 < 1).astype(np.uint8)


def _files(folder: Path, height: int, width: int, orientation: int = 1) -> dict[str, str]:
    """Write a photo whose red channel is its mask, with the stored pixels turned by an EXIF orientation."""
    mask = _ellipse(height, width)
    photo = np.zeros((height, width, 3), dtype=np.uint8)
    photo[..., 0] = mask * 255
    undo = {1: lambda a: a, 6: np.rot90, 3: lambda a: a[::-1, ::-1]}[orientation]
    stored = Image.fromarray(np.ascontiguousarray(undo(photo)))
    exif = stored.getexif()
    exif[0x0112] = orientation
    name = f"{height}x{width}_{orientation}"
    stored.save(folder / f"{name}.jpg", quality=95, subsampling=0, exif=exif)
    Image.fromarray(mask * np.uint8(255)).save(folder / f"{name}.png")
    return {"image": str(folder / f"{name}.jpg"), "label": str(folder / f"{name}.png")}


def _jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("aspect", ["squash", "pad"])
@pytest.mark.parametrize("reduce_to", [None, 96])
def test_load_fit_collate_restore_is_aligned(
    tmp_path: Path, aspect: str, reduce_to: int | None, orientation: int
) -> None:
    transform = Compose(
        [LoadPhotod("image", reduce_to), LoadMaskd("label"), Fitd(size=(96, 96), aspect=aspect)]
    )
    sizes = [(389, 613), (701, 397), (50, 70)]
    batch = list_data_collate([transform(_files(tmp_path, *size, orientation)) for size in sizes])
    assert batch["image"].shape == (3, 3, 96, 96)
    # image and label lie on each other on the canvas
    for image, label in zip(batch["image"].numpy(), batch["label"].numpy(), strict=True):
        assert _jaccard(image[0] >= 128, label[0] == 1) > 0.97
    # a network that answers with the red channel
    batch["pred"] = batch["image"][:, :1].float() / 255
    for item, (height, width) in zip(decollate_batch(batch), sizes, strict=True):
        restored = RestoreSized("pred", ref="image")(item)["pred"]
        assert restored.shape == (1, height, width)
        assert restored.meta["filename_or_obj"] == item["image"].meta["filename_or_obj"]
        truth = _ellipse(height, width)
        predicted = restored.numpy()[0] >= 0.5
        assert _jaccard(predicted, truth == 1) > 0.97
        # no shift: the centres of gravity agree to a twentieth of a pixel of the canvas
        offset = np.argwhere(predicted).mean(0) - np.argwhere(truth).mean(0)
        assert np.abs(offset * 96 / np.array([height, width])).max() < 0.05


def test_a_linear_ramp_comes_back(tmp_path: Path) -> None:
    """Interpolation is exact on straight lines, so each value tells where it came from."""
    y = np.arange(200)[:, None] + 0.5
    photo = np.broadcast_to(y, (200, 100)).astype(np.uint8)
    Image.fromarray(np.stack([photo] * 3, -1)).save(tmp_path / "a.png")
    item = Fitd("image", (40, 60), "pad")(LoadPhotod()({"image": str(tmp_path / "a.png")}))
    assert geometry_of(item["image"]).content == (0, 20, 40, 40)
    item["pred"] = torch.full((1, 40, 60), -1000.0)
    item["pred"][0, :, 20:40] = ((torch.arange(40) + 0.5) * 5)[:, None]
    restored = RestoreSized()(item)["pred"]
    np.testing.assert_allclose(restored[0, 3:-3].numpy(), np.broadcast_to(y, (200, 100))[3:-3], atol=1e-4)


def test_restored_by_its_own_geometry(tmp_path: Path) -> None:
    item = Fitd(size=(32, 32))(LoadMaskd()(LoadPhotod()(_files(tmp_path, 40, 60))))
    pred = MetaTensor(torch.rand(2, 32, 32), meta=dict(item["image"].meta))
    assert RestoreSized(ref=None)({"pred": pred})["pred"].shape == (2, 40, 60)
    half = pred.to(torch.bfloat16)
    assert RestoreSized(ref=None)({"pred": half})["pred"].dtype == torch.float32


def test_five_channels_keep_their_order(tmp_path: Path) -> None:
    paths = []
    for index in range(5):
        mask = np.zeros((50, 100), dtype=np.uint8)
        mask[index * 10 : index * 10 + 10] = 255
        Image.fromarray(mask).save(tmp_path / f"{index}.png")
        paths.append(str(tmp_path / f"{index}.png"))
    label = Fitd("label", (25, 25))(LoadMaskd()({"label": paths}))["label"]
    assert label.dtype == torch.uint8
    for index in range(5):
        assert label[index, :, 0].nonzero().flatten().tolist() == list(range(index * 5, index * 5 + 5))


def test_fit_without_load() -> None:
    fitted = Fitd("image", (2, 2))({"image": torch.full((3, 4, 4), 9, dtype=torch.uint8)})["image"]
    assert geometry_of(fitted).original_size == (4, 4)
    assert torch.equal(fitted.as_tensor(), torch.full((3, 2, 2), 9, dtype=torch.uint8))


def test_label_of_another_size_is_refused(tmp_path: Path) -> None:
    item = {
        "image": _files(tmp_path, 40, 60)["image"],
        "label": _files(tmp_path, 40, 61)["label"],
    }
    loaded = LoadMaskd()(LoadPhotod()(item))
    with pytest.raises(InputError, match=r"40x61_1\.png is 61 x 40 pixels, but .*40x60_1\.jpg is 60 x 40"):
        Fitd()(loaded)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="aspect is 'stretch'"):
        Fitd(aspect="stretch")
    with pytest.raises(InputError, match="size is"):
        Fitd(size=(256,))
    with pytest.raises(InputError, match="fit before normalising"):
        Fitd("image")({"image": torch.zeros(3, 4, 4)})
    item = Fitd("image", (32, 32))(LoadPhotod()(_files(tmp_path, 40, 60)))
    with pytest.raises(InputError, match="threshold after restoring"):
        RestoreSized()({**item, "pred": torch.zeros(1, 32, 32, dtype=torch.uint8)})
    with pytest.raises(InputError, match="must agree"):
        RestoreSized()({**item, "pred": torch.zeros(1, 16, 16)})
    with pytest.raises(InputError, match="knows its photo's size"):
        RestoreSized()({"pred": torch.zeros(1, 32, 32)})

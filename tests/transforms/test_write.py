from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, SaveImaged, SqueezeDimd, Transposed
from PIL import Image
from torchvision.io import ImageReadMode, read_image

from dermaseg_monai.image_files import read_mask
from dermaseg_monai.transforms import (
    Fitd,
    LoadPhotod,
    RestoreSized,
    SaveMaskd,
    Thresholdd,
    check_stems,
    write_mask,
)
from dermaseg_monai.utils.errors import InputError

MASK = np.zeros((20, 32), dtype=np.uint8)
MASK[2:7, 3:20] = 1  # off centre in both directions


def _pred(mask: np.ndarray, name: str) -> MetaTensor:
    return MetaTensor(torch.from_numpy(mask), meta={"filename_or_obj": name})


@pytest.mark.parametrize("mask", [MASK, MASK[None], MASK.astype(bool), torch.from_numpy(MASK[None].copy())])
def test_write_mask(tmp_path: Path, mask: np.ndarray | torch.Tensor) -> None:
    path = tmp_path / "new" / "mask.png"
    write_mask(mask, path)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (32, 20))
        assert np.array_equal(np.array(image), MASK * 255)
    assert [child.name for child in path.parent.iterdir()] == ["mask.png"]
    with pytest.raises(InputError, match=r"has shape \(2, 20, 32\)"):
        write_mask(np.stack([MASK, MASK]), path)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (33, 250), (61, 256)])
def test_every_reader_gets_the_same_grey_image(tmp_path: Path, size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(size) < 0.4
    write_mask(mask, tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        image.verify()
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), mask * 255)
    assert np.array_equal(read_image(str(tmp_path / "mask.png"), ImageReadMode.UNCHANGED)[0], mask * 255)
    assert np.array_equal(itk.GetArrayFromImage(itk.imread(tmp_path / "mask.png")), mask * 255)


def test_save_maskd(tmp_path: Path) -> None:
    item = {"pred": _pred(MASK[None], "/photos/ISIC_0000001.jpg"), "id": 7}
    assert SaveMaskd(output_dir=tmp_path / "out")(item)["id"] == 7
    assert np.array_equal(read_mask(tmp_path / "out" / "ISIC_0000001_segmentation.png"), MASK)
    SaveMaskd(output_dir=str(tmp_path), suffix="mask")(item)
    assert (tmp_path / "ISIC_0000001_mask.png").is_file()


def test_save_maskd_attributes(tmp_path: Path) -> None:
    both = np.stack([MASK, 1 - MASK])
    save = SaveMaskd(output_dir=tmp_path, attributes=["streaks", "globules"])
    save({"pred": _pred(both, "a.b.jpg")})
    assert np.array_equal(read_mask(tmp_path / "a.b_attribute_streaks.png"), MASK)
    assert np.array_equal(read_mask(tmp_path / "a.b_attribute_globules.png"), 1 - MASK)
    with pytest.raises(InputError, match=r"\(2, H, W\) is expected"):
        save({"pred": _pred(MASK[None], "c.jpg")})


def test_photos_of_one_stem(tmp_path: Path) -> None:
    save = SaveMaskd(output_dir=tmp_path)
    save({"pred": _pred(MASK[None], "x/a.jpg")})
    save({"pred": _pred(1 - MASK[None], "x/a.jpg")})  # the same photo again
    with pytest.raises(InputError, match=r"x/a\.jpg and x/a\.png would give masks of one name"):
        save({"pred": _pred(MASK[None], "x/a.png")})
    assert np.array_equal(read_mask(tmp_path / "a_segmentation.png"), 1 - MASK)
    check_stems(["x/a.jpg", Path("x/b.jpg"), "x/a.jpg"])
    with pytest.raises(InputError, match=r"x/a\.jpg and y/a\.jpg"):
        check_stems(["x/a.jpg", "y/a.jpg"])


def test_unnamed_prediction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="photo's name"):
        SaveMaskd(output_dir=tmp_path)({"pred": torch.from_numpy(MASK[None].copy())})


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_from_photo_to_file(tmp_path: Path, orientation: int) -> None:
    """What is seen at the top left of an upright photo is at the top left of the written mask."""
    upright = np.zeros((120, 200, 3), dtype=np.uint8)
    upright[10:40, 20:50] = 255
    stored = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns that the tag asks to be undone
    image = Image.fromarray(np.ascontiguousarray(np.rot90(upright, stored)))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "p.jpg", quality=95, exif=exif)
    item = Fitd("image", (64, 64))(LoadPhotod(reduce_to=60)({"image": str(tmp_path / "p.jpg")}))
    item["pred"] = item["image"][:1].float() / 255
    Compose([RestoreSized(), Thresholdd(), SaveMaskd(output_dir=tmp_path)])(item)
    with Image.open(tmp_path / "p_segmentation.png") as written:
        mask = np.array(written) == 255
    assert mask.shape == (120, 200)
    truth = upright[..., 0] > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_monai_label_drops_the_writer_and_gets_the_mask_upright(tmp_path: Path) -> None:
    """MONAI Label leaves out every SaveImaged and writes through ITK, transposed, as MONAI's readers are."""
    transforms = [SaveMaskd(output_dir=tmp_path), Transposed("pred", (0, 2, 1)), SqueezeDimd("pred", dim=0)]
    others = [transform for transform in transforms if not isinstance(transform, SaveImaged)]
    assert len(others) == 2
    result = Compose(others)({"pred": _pred(MASK[None], "a.jpg")})["pred"].numpy()
    itk.imwrite(itk.image_from_array(result.transpose().copy()), str(tmp_path / "label.png"))
    assert np.array_equal(read_mask(tmp_path / "label.png"), MASK)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from dermaseg_monai.transforms import LoadMaskd, LoadPhotod
from dermaseg_monai.utils.errors import InputError


def _save(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def test_load_photod(tmp_path: Path) -> None:
    scene = np.random.default_rng(0).integers(0, 256, (20, 32, 3), np.uint8)
    path = _save(Image.fromarray(scene), tmp_path / "a.png")
    loaded = LoadPhotod("image")({"image": str(path), "id": "a"})
    assert loaded["id"] == "a"
    image = loaded["image"]
    assert isinstance(image, MetaTensor)
    assert image.dtype == torch.uint8
    assert np.array_equal(image.numpy(), scene.transpose(2, 0, 1))
    assert image.meta["filename_or_obj"] == str(path)
    assert image.meta["original_size"] == (20, 32)
    with pytest.raises(InputError, match="'image' holds a ndarray"):
        LoadPhotod("image")({"image": scene})


def test_load_maskd_one_and_five(tmp_path: Path) -> None:
    paths = []
    for index in range(5):
        mask = np.zeros((20, 32), dtype=np.uint8)
        mask[index, index + 3] = 255
        paths.append(str(_save(Image.fromarray(mask), tmp_path / f"{index}.png")))
    one = LoadMaskd("label")({"label": paths[2]})["label"]
    assert one.shape == (1, 20, 32)
    assert one.dtype == torch.uint8
    assert one.nonzero().tolist() == [[0, 2, 5]]
    five = LoadMaskd("label")({"label": paths})["label"]
    assert five.shape == (5, 20, 32)
    assert five.nonzero().tolist() == [[index, index, index + 3] for index in range(5)]


def test_masks_of_different_sizes_are_refused(tmp_path: Path) -> None:
    a = _save(Image.new("L", (32, 20)), tmp_path / "a.png")
    b = _save(Image.new("L", (20, 32)), tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png: this mask is 20 x 32 pixels, but .*a\.png is 32 x 20"):
        LoadMaskd("label")({"label": [str(a), str(b)]})

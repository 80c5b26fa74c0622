"""Corruptions: what they do to a photo, that masks move alike, and that nothing is left to chance."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image
from scipy import ndimage

from dermaseg_monai.datasets.phantoms import render_phantom
from dermaseg_monai.transforms.corruptions import CORRUPTIONS, CorruptPhotod
from dermaseg_monai.utils.errors import InputError

SIZE = (96, 128)


def phantom() -> dict[str, Any]:
    drawn = render_phantom(3, SIZE)
    photo = torch.from_numpy(drawn.image).permute(2, 0, 1)
    return {"id": "ISIC_3", "image": photo, "label": torch.from_numpy(drawn.lesion[None].astype(np.uint8))}


def spoilt(corruption: str, strength: float, **options: Any) -> torch.Tensor:
    return CorruptPhotod("image", corruption, strength, **options)(phantom())["image"]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_photo_and_seed_decide(name: str) -> None:
    item = phantom()
    strength = {"jpeg": 20, "brightness": 0.5, "scale": 0.5}.get(name, 5)
    first = CorruptPhotod("image", name, strength)(item)["image"]
    assert first.dtype == torch.uint8
    assert first.shape == item["image"].shape
    assert not torch.equal(first, item["image"])
    assert torch.equal(first, CorruptPhotod("image", name, strength)(item)["image"])
    by_chance = name in ("noise", "hair", "ruler")
    assert torch.equal(first, spoilt(name, strength, seed=1)) is not by_chance
    other = CorruptPhotod("image", name, strength)({**item, "id": "ISIC_4"})["image"]
    assert torch.equal(first, other) is not by_chance


@pytest.mark.parametrize("name", [name for name, entry in CORRUPTIONS.items() if entry.clean is not None])
def test_the_clean_strength_changes_nothing(name: str) -> None:
    assert torch.equal(spoilt(name, CORRUPTIONS[name].clean or 0), phantom()["image"])


def test_values_against_other_libraries() -> None:
    photo = phantom()["image"]
    sigma = 2 / 100 * math.hypot(*SIZE)
    blurred = np.stack(
        [
            ndimage.gaussian_filter(plane.astype(float), sigma, mode="mirror", truncate=3)
            for plane in photo.numpy()
        ]
    )
    assert np.abs(spoilt("blur", 2).numpy() - blurred).max() < 2
    stream = io.BytesIO()
    Image.fromarray(photo.permute(1, 2, 0).numpy()).save(stream, "JPEG", quality=10)
    decoded = np.asarray(Image.open(stream)).transpose(2, 0, 1).astype(int)
    assert np.abs(spoilt("jpeg", 10).numpy() - decoded).mean() < 1
    grey = {"id": "a", "image": torch.full((3, 200, 200), 100, dtype=torch.uint8)}
    grains = CorruptPhotod("image", "noise", 20)(grey)["image"].float()
    assert grains.mean().item() == pytest.approx(100, abs=0.5)
    assert grains.std().item() == pytest.approx(20, abs=0.5)
    assert CorruptPhotod("image", "brightness", 1.5)(grey)["image"].unique().tolist() == [150]
    assert CorruptPhotod("image", "colour", 30)(grey)["image"][:, 0, 0].tolist() == [130, 100, 70]


@pytest.mark.parametrize(
    ("name", "strength", "share"), [("scale", 0.5, 0.25), ("scale", 1.5, 2.25), ("rotation", 90, 1)]
)
def test_masks_move_with_their_photo(name: str, strength: float, share: float) -> None:
    square = torch.zeros(1, 64, 96, dtype=torch.uint8)
    square[:, 22:38, 44:56] = 1  # 16 high, 12 wide, above and right of the middle
    photo = MetaTensor(square.repeat(3, 1, 1) * 200, meta={"original_size": (64, 96)})
    item = {"id": "a", "image": photo, "label": square}
    moved = CorruptPhotod(("image", "label"), name, strength)(item)
    label = moved["label"]
    assert label.sum().item() == pytest.approx(192 * share, rel=0.07)
    assert (label.bool() != (moved["image"][:1] >= 100)).float().mean() < 0.002
    assert moved["image"].meta["original_size"] == (64, 96)
    rows, columns = (axis.float().mean().item() + 0.5 for axis in torch.nonzero(label[0], as_tuple=True))
    # about the photo's middle, (32, 48), where the square's own is (30, 50)
    down, right = (2, 2) if name == "rotation" else (-2 * strength, 2 * strength)
    assert (rows, columns) == (pytest.approx(32 + down, abs=0.6), pytest.approx(48 + right, abs=0.6))


def test_other_corruptions_leave_masks_alone() -> None:
    item = phantom()
    for name in set(CORRUPTIONS) - {"scale", "rotation"}:
        assert CorruptPhotod("label", name, 1)(item)["label"] is item["label"]


def test_more_hairs_hide_more() -> None:
    photo = phantom()["image"].float()
    hidden = [
        ((spoilt("hair", count).float() - photo).abs().amax(0) > 8).float().mean().item()
        for count in (5, 20, 80)
    ]
    assert hidden == sorted(hidden)
    assert hidden[0] > 0.01


def test_what_is_not_known_or_too_strong() -> None:
    with pytest.raises(InputError, match="corruption is 'fog'; it must be one of blur, noise"):
        CorruptPhotod("image", "fog")
    with pytest.raises(InputError, match="the strength of 'jpeg' is 0; it must lie between 1 and 100"):
        CorruptPhotod("image", "jpeg", 0)

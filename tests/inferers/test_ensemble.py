"""Ensembles against the mean of what each bundle says alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from PIL import Image

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.bundle.weights import load_weights
from dermaseg_monai.inferers.ensemble import Ensembled
from dermaseg_monai.transforms import CropLensd, Fitd, LoadPhotod, NormalisePhotod, RestoreSized, photo
from dermaseg_monai.utils.errors import InputError
from tests.tiny_bundle import write_tiny_bundle

CPU = {"device": torch.device("cpu"), "amp": False}
MEMBERS: dict[str, dict[str, Any]] = {
    "own": {"base": "lesion_unet", "image_size": [32, 32]},
    "padded": {"base": "lesion_attention_unet", "seed": 1, "image_size": [64, 48], "aspect": "pad"},
    "cropped": {"base": "lesion_unet", "seed": 2, "image_size": [48, 64], "crop_lens": True},
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: str(write_tiny_bundle(folder / name, **changes)) for name, changes in MEMBERS.items()}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of other sizes than any member's, one with the black frame of a lens."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, (height, width) in enumerate(((200, 150), (120, 180))):
        noise = np.random.default_rng(seed).integers(60, 255, (height // 10, width // 10, 3), dtype=np.uint8)
        pixels = np.array(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)).clip(40)
        if seed:
            pixels[:, :30] = pixels[:, -30:] = 0
        Image.fromarray(pixels).save(folder / f"photo_{seed}.png")
    return folder


VIEWS: list[list[int]] = [[], [-1], [-2], [-2, -1]]


def alone(bundle: str, path: Path, views: list[list[int]] = VIEWS[:1]) -> torch.Tensor:
    """What a bundle says of a photo, (C, H, W) at the photo's size: each step by hand."""
    config = json.loads((Path(bundle) / "configs" / "inference.json").read_text())
    network = load_weights(
        ConfigParser(config).get_parsed_content("network_def"), Path(bundle) / "models" / "model.pt"
    ).eval()
    crop = [CropLensd("image")] if config["crop_lens"] else []
    fit = Fitd("image", config["image_size"], config["aspect"])
    item = Compose([LoadPhotod("image"), *crop, fit, NormalisePhotod("image")])({"image": str(path)})
    image = item["image"].as_tensor()[None]
    with torch.no_grad():
        logits = [network(image.flip(axes)).flip(axes)[0] for axes in views]
    two_class = config["mode"] == "two_class"
    item["pred"] = torch.stack(
        [view.softmax(0)[1:] if two_class else view.sigmoid() for view in logits]
    ).mean(0)
    return RestoreSized("pred")(item)["pred"].as_tensor()


def ensembled(bundles: dict[str, str], path: Path, first: str, *others: str, **options: Any) -> torch.Tensor:
    """The ensemble's probability of a photo, out of the first bundle's own inference.json."""
    config = ConfigParser.load_config_file(Path(bundles[first]) / "configs" / "inference.json")
    parser = ConfigParser(
        {
            **config,
            **CPU,
            "bundle_root": bundles[first],
            "ensemble": [bundles[name] for name in others],
            **options,
        }
    )
    item = parser.get_parsed_content("preprocessing")({"image": str(path)})
    network = parser.get_parsed_content("network").eval()
    with torch.no_grad():
        item["pred"] = network(item["image"].as_tensor()[None])[0]
    for transform in parser.get_parsed_content("postprocessing").transforms:
        item = transform(item)
        if isinstance(transform, RestoreSized):
            break
    return item["pred"].as_tensor()


@pytest.mark.parametrize("order", [("own", "padded", "cropped"), ("cropped", "own"), ("padded", "own")])
def test_mean_of_what_the_members_say_alone(
    bundles: dict[str, str], photos: Path, order: tuple[str, ...]
) -> None:
    shares = [0.5, 0.3, 0.2][: len(order)]
    for path in sorted(photos.iterdir()):
        mean = ensembled(bundles, path, *order, ensemble_weights=shares)
        members = [alone(bundles[name], path) for name in order]
        expected = sum(
            share / sum(shares) * probability for share, probability in zip(shares, members, strict=True)
        )
        assert mean.shape == expected.shape
        torch.testing.assert_close(mean, expected, atol=2e-6, rtol=0)
        assert all((mean - probability).abs().max() > 1e-3 for probability in members)


@pytest.mark.parametrize("flips", [[], ["horizontal", "vertical", "both"]])
def test_masks_are_those_of_the_mean(
    bundles: dict[str, str], photos: Path, tmp_path: Path, flips: list[str]
) -> None:
    views = VIEWS[: 1 + len(flips)]
    others = [bundles["padded"], bundles["cropped"]]
    means = {
        path.stem: torch.stack([alone(bundle, path, views) for bundle in bundles.values()]).mean(dim=0)
        for path in photos.iterdir()
    }
    threshold = float(torch.cat([mean.flatten() for mean in means.values()]).median())
    BundleFolder(Path(bundles["own"])).run(
        tmp_path,
        dataset_dir=str(photos),
        ensemble=others,
        flips=flips,
        threshold=threshold,
        uncertainty=True,
        **CPU,
    )
    for stem, mean in means.items():
        mask = np.asarray(Image.open(tmp_path / f"{stem}_segmentation.png")) > 0
        clear = (mean[0] - threshold).abs().numpy() > 1e-5
        np.testing.assert_array_equal(mask[clear], mean[0].numpy()[clear] >= threshold)
        heat = np.asarray(Image.open(tmp_path / f"{stem}_uncertainty.png")) / 255
        entropy = torch.distributions.Bernoulli(mean[0]).entropy() / np.log(2)
        np.testing.assert_allclose(heat, entropy, atol=0.003)


def test_members_that_prepare_photos_alike_decode_once(
    bundles: dict[str, str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = str(write_tiny_bundle(tmp_path / "twin", "lesion_unet", seed=5))
    decoded = []
    whole = photo.open_photo
    monkeypatch.setattr(
        photo, "open_photo", lambda path, *rest: (decoded.append(path), whole(path, *rest))[1]
    )
    path = photos / "photo_0.png"
    mean = ensembled({**bundles, "twin": twin}, path, "own", "twin")
    assert len(decoded) == 1
    torch.testing.assert_close(mean, (alone(bundles["own"], path) + alone(twin, path)) / 2, atol=2e-6, rtol=0)


def ensemble_of(*bundles: str, mode: str = "binary", **options: Any) -> Ensembled:
    return Ensembled("pred", bundles, mode, Compose([]), **options)


def test_impossible_weights(bundles: dict[str, str]) -> None:
    with pytest.raises(InputError, match="2 members got 1 weights"):
        ensemble_of(bundles["own"], weights=[1.0])
    with pytest.raises(InputError, match="at least 0 and not all 0"):
        ensemble_of(bundles["own"], weights=[0.0, 0.0])


def test_members_that_cannot_be(bundles: dict[str, str]) -> None:
    with pytest.raises(InputError, match="'lesion_vnet' is neither the folder of a bundle"):
        ensemble_of("lesion_vnet")
    with pytest.raises(InputError, match="'lesion_sam' takes prompts"):
        ensemble_of("lesion_sam")
    with pytest.raises(InputError, match="but not both"):
        ensemble_of(bundles["own"], mode="multilabel")

"""``from dermaseg_monai import predict, list_bundles, load_bundle``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import dermaseg_monai
from dermaseg_monai import list_bundles, load_bundle, predict
from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_disc
from tests.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parents[1]
CPU = {"device": "cpu", "amp": False}


def test_listing_the_bundles_imports_no_torch() -> None:
    program = (
        "import sys, dermaseg_monai.cli.commands; from dermaseg_monai import list_bundles; list_bundles(); "
        "print(sorted({'torch', 'monai', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_public_names() -> None:
    for name in ("predict", "list_bundles", "load_bundle"):
        assert name in dermaseg_monai.__all__
        assert name in dir(dermaseg_monai)
        assert callable(getattr(dermaseg_monai, name))
    with pytest.raises(AttributeError, match="has no attribute 'segment'"):
        _ = dermaseg_monai.segment


def test_listed_bundles() -> None:
    listed = list_bundles()
    assert [entry["name"] for entry in listed] == [bundle.name for bundle in BUNDLES]
    weights = {entry["name"] for entry in listed if entry["weights"]}
    assert {bundle.name for bundle in BUNDLES if bundle.ships_weights} <= weights


@pytest.mark.parametrize(
    ("base", "masks"),
    [
        ("lesion_unet", ["photo_segmentation.png"]),
        (
            "attribute_unet",
            [
                f"photo_attribute_{name}.png"
                for name in ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")
            ],
        ),
    ],
)
def test_a_loaded_bundle_gives_the_masks_of_predict(base: str, masks: list[str], tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "tiny", base)
    write_disc(tmp_path / "photo.png", 0, (40, 60))
    predict(tmp_path / "photo.png", tmp_path / "out", bundle=str(folder), **CPU)
    bundle = load_bundle(folder, **CPU)
    mask = bundle.mask(tmp_path / "photo.png")
    assert mask.dtype == torch.uint8
    assert mask.shape == (len(masks), 40, 60)
    for channel, name in zip(mask, masks, strict=True):
        assert (channel.numpy() == read_mask(tmp_path / "out" / name)).all()
    probability = bundle.probability(tmp_path / "photo.png")
    assert ((probability >= 0.5).to(torch.uint8) == mask).all()
    assert isinstance(bundle.network, torch.nn.Module)
    assert not bundle.network.training


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "tiny", "lesion_unet")
    with pytest.raises(InputError, match=r"no id 'treshold'.*threshold"):
        load_bundle(folder, treshold=0.4)
    with pytest.raises(InputError, match=r"takes prompts.*PromptSession"):
        load_bundle("lesion_mobile_sam")
    (folder / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match="tiny has no weights"):
        load_bundle(folder)
    with pytest.raises(InputError, match="'lesion_vnet' is neither"):
        load_bundle("lesion_vnet")


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "how-to" / "use-from-python.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    write_disc(tmp_path / "photos" / "disc.png", 0, (40, 60))
    Image.open(tmp_path / "photos" / "disc.png").save(tmp_path / "photo.jpg")
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert len(names["table"]) == 1
    assert names["mask"].shape == (40, 60)
    assert (tmp_path / "outline.png").is_file()


def test_types_are_shipped() -> None:
    assert (ROOT / "dermaseg_monai" / "py.typed").is_file()
    assert '"py.typed"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")

"""What a bundle's folder says of itself, in the collection or outside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.inference.shards import predict_on_ray
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_disc
from tests.tiny_bundle import write_tiny_bundle, write_tiny_promptable


def test_bundles_outside_the_collection_describe_themselves(tmp_path: Path) -> None:
    lesion = BundleFolder.find(write_tiny_bundle(tmp_path / "seed0", "lesion_unet"))
    attribute = BundleFolder.find(write_tiny_bundle(tmp_path / "seed1", "attribute_unet"))
    assert (lesion.name, lesion.task, lesion.promptable) == ("seed0", "lesion", False)
    assert (attribute.name, attribute.task) == ("seed1", "attribute")
    assert lesion.weights == tmp_path / "seed0" / "models" / "model.pt"
    assert not lesion.network(device="cpu").training
    assert lesion.parts("mode", "image_size") == {"mode": "binary", "image_size": [32, 32]}


def test_overrides_stay_with_the_parts_they_were_given_for(tmp_path: Path) -> None:
    folder = BundleFolder(write_tiny_bundle(tmp_path / "seed0", "lesion_unet"))
    deeper = folder.parts("network_def", **{"network_def#features": [4, 8, 16]})["network_def"]
    own = folder.parts("network_def")["network_def"]
    assert (len(deeper.encoder), len(own.encoder)) == (3, 2)
    assert folder.config["network_def"]["features"] == [4, 8]


def test_weights_elsewhere(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "own", "lesion_unet")
    folder = BundleFolder.find("lesion_unet", tmp_path / "own" / "models")
    assert folder.weights == tmp_path / "own" / "models" / "model.pt"
    assert BundleFolder.find("lesion_unet", tmp_path).weights is None
    with pytest.raises(InputError, match="lesion_unet has no weights"):
        BundleFolder.find("lesion_unet", tmp_path).network()


def test_promptable_bundles_take_published_weights(tmp_path: Path) -> None:
    folder = BundleFolder(write_tiny_promptable(tmp_path / "clicked"))
    assert folder.promptable
    (folder.ckpt_dir / "model.pt").unlink()
    assert folder.weights is None
    published = folder.ckpt_dir / "sam_vit_b_01ec64.pth"
    published.write_bytes(b"published")
    assert folder.weights == published


def test_a_bundle_without_the_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_disc(tmp_path / "photos" / "a.png", 0)
    folder = write_tiny_bundle(tmp_path / "bare", "lesion_unet")
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    handlers = [one for one in config["handlers"] if not one["_target_"].endswith("PredictionTable")]
    path.write_text(json.dumps({**config, "handlers": handlers}))
    for segment in (predict, predict_on_ray):
        with pytest.raises(InputError, match="has no handler PredictionTable"):
            segment(tmp_path / "photos", tmp_path / "out", bundle=str(folder))

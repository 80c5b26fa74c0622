"""A bundle is calibrated on its validation photos, and says so wherever it predicts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermaseg_monai.bundle.calibration import Calibration, fit_features, stored_calibration
from dermaseg_monai.cli.commands import Commands
from dermaseg_monai.handlers.prediction_table import UNLIKE
from dermaseg_monai.inference.calibrate import calibrate, check_calibration
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.utils.errors import InputError, explained
from dermaseg_monai.utils.files import read_table
from tests.disc_dataset import write_dataset
from tests.tiny_bundle import write_tiny_bundle, write_tiny_promptable


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """A calibrated bundle of three levels, which has features."""
    network = {"_target_": "dermaseg_monai.networks.UNet", "features": [4, 8, 8]}
    folder = write_tiny_bundle(
        tmp_path_factory.mktemp("bundle") / "tiny",
        "lesion_unet",
        device="cpu",
        network_def={**network, "in_channels": 3, "out_channels": 1},
    )
    assert calibrate(folder, dataset, level=0.6, tolerance=0.2) == folder / "models" / "calibration.json"
    return folder


def test_what_is_stored(bundle: Path) -> None:
    content = json.loads((bundle / "models" / "calibration.json").read_text())
    assert (content["photos"], content["training_photos"]) == (5, 8)
    assert (content["outlines"]["level"], content["outlines"]["tolerance"]) == (0.6, 0.2)
    likelihood = content["negative_log_likelihood"]
    assert likelihood["after"][0] <= likelihood["before"][0]
    calibration = stored_calibration(bundle / "models")
    assert calibration.features is not None
    assert len(calibration.features.mean) == 4 + 8  # channels of the two levels before the deepest
    assert stored_calibration(bundle / "models", alone=False) == Calibration()


def test_prediction_tells_its_doubt(
    bundle: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    listed = json.loads((dataset / "datalist.json").read_text())["validation"]
    for item in listed:
        (photos / item["image"]).write_bytes((dataset / item["image"]).read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "noise.png")
    Commands().predict(str(photos), str(tmp_path / "out"), bundle=str(bundle), outlines=True)
    assert "of them are unlike the training photos" in capsys.readouterr().out
    table = read_table(tmp_path / "out" / "predictions.csv").set_index("id")
    # the limit is a quantile of the validation photos
    known = table.loc[[item["id"] for item in listed]]
    assert known["unlikeness"].max() == pytest.approx(1, abs=0.05)
    assert table.loc["noise", "unlikeness"] > 1
    assert table.loc["noise", "warning"] == UNLIKE
    assert table["band_share"].between(0, 1).all()
    assert (known["warning"].fillna("") == "").sum() >= len(known) - 1
    for name in table.index:
        inner, mask, outer = (
            np.asarray(Image.open(tmp_path / "out" / file)) > 0
            for file in (
                f"outlines/{name}_inner.png",
                f"{name}_segmentation.png",
                f"outlines/{name}_outer.png",
            )
        )
        assert not (inner & ~outer).any()
        assert inner.shape == mask.shape == outer.shape


def test_masks_are_the_same_without_calibration(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.pt").write_bytes((bundle / "models" / "model.pt").read_bytes())
    photo = dataset / json.loads((dataset / "datalist.json").read_text())["test"][0]["image"]
    calibrated = predict(photo, tmp_path / "a", bundle=str(bundle))
    plain = predict(photo, tmp_path / "b", bundle=str(bundle), ckpt_dir=str(weights))
    assert {"band_share", "unlikeness", "warning"} & set(plain.columns) == set()
    masks = [next((tmp_path / name).glob("*_segmentation.png")).read_bytes() for name in "ab"]
    assert masks[0] == masks[1]
    assert calibrated["confidence"][0] != plain["confidence"][0]
    with pytest.raises(Exception, match=r".") as caught:
        predict(photo, tmp_path / "c", bundle=str(bundle), ckpt_dir=str(weights), outlines=True)
    assert "no inner and outer outline were fitted" in str(explained(caught.value))


def test_other_weights_have_no_calibration(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("model.pt", "calibration.json"):
        (tmp_path / name).write_bytes((bundle / "models" / name).read_bytes())
    assert stored_calibration(tmp_path).features is not None
    with (tmp_path / "model.pt").open("ab") as weights:
        weights.write(b"trained further")
    assert stored_calibration(tmp_path) == Calibration()
    assert "was fitted for other weights" in caplog.text


def test_a_check_measures_another_section(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    result = check_calibration(bundle, dataset, tmp_path, section="validation")
    assert result == json.loads((tmp_path / "calibration_validation.json").read_text())
    # on the photos it was fitted on the level holds by construction
    assert result["outlines"]["outer"] >= 0.6
    assert result["outlines"]["inner"] >= 0.6
    assert result["warned"] <= 0.2
    stored = json.loads((bundle / "models" / "calibration.json").read_text())
    assert result["expected_calibration_error"]["before"] == stored["expected_calibration_error"]["before"]
    assert [row["coverage"] for row in result["risk_coverage"]["after"]][:2] == [1.0, 0.95]


def test_attribute_bundles_have_temperatures_and_a_warning(dataset: Path, tmp_path: Path) -> None:
    content = json.loads((dataset / "datalist.json").read_text())
    for items in content.values():
        for item in items:
            item.update(image=str(dataset / item["image"]), label=[str(dataset / item["label"])] * 5)
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    folder = write_tiny_bundle(tmp_path / "tiny", "attribute_unet", device="cpu")
    calibrate(folder, tmp_path)
    calibration = stored_calibration(folder / "models")
    assert len(calibration.temperature) == 5
    assert calibration.inner is None
    table = predict(content["test"][0]["image"], tmp_path / "out", bundle=str(folder))
    assert table["unlikeness"].nunique() == 1
    assert "outlines" not in check_calibration(folder, tmp_path, tmp_path)


def test_unlikeness_is_the_mahalanobis_distance() -> None:
    generator = np.random.default_rng(0)
    training = generator.normal(size=(400, 6)) @ generator.normal(size=(6, 6)) + 3
    new = generator.normal(size=(50, 6)) * 4
    fitted = fit_features(training, training, level=0.5)
    # the direction that is left over has its own variance, so that all six are free
    standard = (training - training.mean(0)) / training.std(0)
    inverse = np.linalg.inv(np.cov(standard.T, bias=True))
    offset = (new - training.mean(0)) / training.std(0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", offset, inverse, offset))
    # of what is left, the mean square counts as often as there are free directions
    along = np.square(offset @ np.transpose(fitted.directions)).sum(1)
    assert len(fitted.directions) == 5
    left = np.maximum(0, np.square(offset).sum(1) - along) / fitted.rest
    expected = np.sqrt(np.square(expected) + 4 * left)
    assert fitted.unlikeness(new) * fitted.limit == pytest.approx(expected, rel=1e-3)
    assert np.mean(fitted.unlikeness(training) > 1) == pytest.approx(0.5, abs=0.01)


def test_what_cannot_be_calibrated(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"level 1\.5 and tolerance 0.05 must be shares"):
        calibrate(bundle, dataset, level=1.5)
    with pytest.raises(InputError, match=r"takes prompts.*choose a bundle"):
        calibrate(write_tiny_promptable(tmp_path / "sam"), dataset)
    bare = write_tiny_bundle(tmp_path / "bare", "lesion_unet", device="cpu")
    with pytest.raises(InputError, match="fit it first with dermaseg calibrate"):
        check_calibration(bare, dataset, tmp_path)
    (tmp_path / "calibration.json").write_text('{"temperature": 1}')
    assert stored_calibration(tmp_path) == Calibration()  # without weights there is nothing to calibrate
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(InputError, match="holds no calibration; fit it again"):
        stored_calibration(tmp_path)


def test_networks_without_an_encoder_have_no_warning(dataset: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 3}
    folder = write_tiny_bundle(tmp_path / "tiny", "lesion_unet", device="cpu")
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text()) | {"network_def": {**network, "padding": 1}}
    path.write_text(json.dumps(config))
    torch.save(torch.nn.Conv2d(3, 1, 3, padding=1).state_dict(), folder / "models" / "model.pt")
    calibrate(folder, dataset)
    assert stored_calibration(folder / "models").features is None
    photo = dataset / json.loads((dataset / "datalist.json").read_text())["test"][0]["image"]
    table = predict(photo, tmp_path / "out", bundle=str(folder))
    assert "band_share" in table
    assert "unlikeness" not in table

"""Bundles as functions of a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dermaseg_monai.app import models as models_module
from dermaseg_monai.app.models import Model, find_models
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.datasets.phantoms import render_phantom
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.sam import Prompt
from dermaseg_monai.utils.errors import InputError
from tests.app.segmented import segmented
from tests.tiny_bundle import write_tiny_bundle, write_tiny_promptable


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.jpg"
    Image.fromarray(render_phantom(5, (120, 160)).image).save(path, quality=92)
    return path


def test_a_prediction_is_that_of_predict(photo: Path, tmp_path: Path) -> None:
    (model, *_) = find_models()
    prediction = segmented(model, photo, uncertainty=True, outlines=True)
    row = predict(photo, tmp_path / "plain", outlines=True).iloc[0]
    assert np.array_equal(prediction.masks[0], read_mask(tmp_path / "plain" / "photo_segmentation.png"))
    assert prediction.masks.any()
    assert prediction.confidence == [pytest.approx(row["confidence"], abs=1e-6)]
    # the flagship is calibrated
    assert prediction.unlikeness == pytest.approx(row["unlikeness"], abs=1e-6)
    assert prediction.outlines is not None
    for name, outline in zip(("inner", "outer"), prediction.outlines, strict=True):
        written = read_mask(tmp_path / "plain" / "outlines" / f"photo_{name}.png")
        assert np.array_equal(outline, written)

    predict(photo, tmp_path / "views", flips=["horizontal", "vertical", "both"], uncertainty=True)
    expected = np.asarray(Image.open(tmp_path / "views" / "photo_uncertainty.png"))
    assert prediction.uncertainty is not None
    assert np.abs(prediction.uncertainty.numpy()[0] * 255 - expected).max() <= 1
    assert segmented(model, photo).uncertainty is None
    assert segmented(model, photo).outlines is None


def test_attributes(photo: Path, tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "attribute_tiny", "attribute_unet")
    model = Model(folder)
    assert (model.task, len(model.attributes), model.has_uncertainty) == ("attribute", 5, False)
    prediction = segmented(model, photo, uncertainty=True)
    assert prediction.masks.shape == (5, 120, 160)
    assert prediction.uncertainty is None


def test_clicks(photo: Path, tmp_path: Path) -> None:
    folder = write_tiny_promptable(tmp_path / "lesion_clicked")
    model = Model(folder)
    assert (model.task, model.weights is not None) == ("prompt", True)
    one = model.refine(photo, Prompt(points=((30.0, 40.0),), labels=(1,)))
    assert (one.shape, one.dtype, set(np.unique(one)) <= {0, 1}) == ((120, 160), np.uint8, True)
    logits = {}

    def keep(decoder: torch.nn.Module, arguments: tuple, output: tuple) -> None:
        logits[len(logits)] = output[0]

    with model.loaded.mask_decoder.register_forward_hook(keep):
        for x in (30.0, 130.0):
            model.refine(photo, Prompt(points=((x, 40.0),), labels=(1,)))
    assert not torch.equal(logits[0], logits[1])  # the click reaches the network


def test_too_many_pixels_are_refused_before_they_are_decoded(
    photo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models_module, "MAX_PIXELS", 120 * 160 - 1)
    folder = write_tiny_bundle(tmp_path / "lesion_tiny", "lesion_unet")
    with pytest.raises(InputError, match="160 x 120 pixels are more than the limit of 19199"):
        segmented(Model(folder), photo)


def test_found(tmp_path: Path) -> None:
    assert [model.name for model in find_models() if model.task == "lesion"]
    flagship = bundle_folder("lesion_mobilenetv2_unet")
    first = find_models(["lesion_unet"], ckpt_dir=flagship / "models")[0]
    assert (first.name, first.weights) == ("lesion_unet", flagship / "models" / "model.pt")
    for bundles, weights, complaint in [
        (["lesion_unet"], tmp_path, "lesion_unet has no weights"),
        (["no_such"], None, "'no_such' is neither"),
        ([], tmp_path, "name that one with --bundle"),
    ]:
        with pytest.raises(InputError, match=complaint):
            find_models(bundles, weights)

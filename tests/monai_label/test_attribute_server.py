"""Attributes through MONAI Label: one label per pixel, there and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.datasets.isic2018 import ATTRIBUTE_SUFFIXES, ATTRIBUTES
from tests.monai_label.bundles import own_masks, small_copy, write_weights
from tests.monai_label.server import Server, serving

MODEL = "tiny_attributes"
TRUTH = "ISIC2018_Task2_Training_GroundTruth_v3"
NAMES = [f"ISIC_90000{index:02d}" for index in range(4)]


@pytest.fixture(scope="module")
def server(python: str, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    studies = folder / "photos"
    studies.mkdir()
    for name in NAMES:
        shutil.copy(phantoms / "ISIC2018_Task1-2_Training_Input" / f"{name}.jpg", studies)
    bundle = small_copy("attribute_unet", folder / MODEL, **{"network_def#features": [4, 8, 8]})
    with serving(python, studies, [bundle], folder / "app") as running:
        yield running


def attribute_masks(phantoms: Path, name: str) -> np.ndarray:
    """(5, H, W) of 0 and 1."""
    paths = (phantoms / TRUTH / f"{name}{ATTRIBUTE_SUFFIXES[attribute]}" for attribute in ATTRIBUTES)
    return np.stack([np.array(Image.open(path)) // 255 for path in paths])


def index_map(masks: np.ndarray) -> np.ndarray:
    """One label per pixel; of overlapping attributes the first."""
    return np.where(masks.any(axis=0), masks.argmax(axis=0) + 1, 0).astype(np.uint8)


def test_from_index_maps_to_an_index_map(server: Server, phantoms: Path, python: str, tmp_path: Path) -> None:
    assert list(server.ask("GET", "/info/").json()["trainers"]) == [MODEL]
    detail = server.ask("POST", f"/infer/{MODEL}?image={NAMES[0]}", status=400).json()["detail"]
    assert "has no weights yet" in detail

    refused = server.train(MODEL, max_epochs=1)
    assert refused["status"] == "ERROR"
    assert any("no photo has a final label yet" in line for line in refused["details"])

    server.put_label(NAMES[0], index_map(attribute_masks(phantoms, NAMES[0])))
    # values of no index map: what counts are the five official files that lie beside it
    server.put_label(NAMES[1], np.full_like(index_map(attribute_masks(phantoms, NAMES[1])), 255))
    refused = server.train(MODEL, max_epochs=1)
    assert refused["status"] == "ERROR"
    assert any("an index map holds 0 to 5" in line for line in refused["details"])
    for path in (phantoms / TRUTH).glob(f"{NAMES[1]}_*"):
        shutil.copy(path, server.studies / "labels" / "final")

    task = server.train(MODEL, max_epochs=1, batch_size=2, learning_rate=0.01)
    assert task["status"] == "DONE", task["details"]
    info = server.ask("GET", "/info/").json()["models"][MODEL]
    assert info["labels"] == {name: index + 1 for index, name in enumerate(ATTRIBUTES)}

    index = server.mask(MODEL, NAMES[0])
    assert index.shape == attribute_masks(phantoms, NAMES[0]).shape[1:]

    # weights that know several attributes, as a longer training would leave them
    folder = write_weights(server.app / "model" / MODEL, phantoms)
    written = own_masks(python, folder, server.studies, tmp_path)
    labels, overlap = set(), 0
    for name in NAMES:
        masks = np.stack([written[f"{name}_attribute_{attribute}"] for attribute in ATTRIBUTES]) > 0
        index = server.mask(MODEL, name)
        np.testing.assert_array_equal(index > 0, masks.any(axis=0))
        chosen = np.take_along_axis(masks, np.maximum(index.astype(int) - 1, 0)[None], axis=0)[0]
        assert chosen[index > 0].all()
        overlap += int((masks.sum(axis=0) > 1).sum())
        labels |= set(np.unique(index).tolist())
    assert len(labels) > 2
    assert overlap > 0

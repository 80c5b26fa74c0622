"""A client's day with lesion bundles: outlines, labels, training, the next photo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from tests.monai_label.bundles import own_masks, small_copy, write_weights
from tests.monai_label.server import Server, serving

TINY, AWARE = "tiny_unet", "tiny_aware"
SMALL = {"network_def#features": [4, 8]}
NAMES = [f"ISIC_90000{index:02d}" for index in range(8)]


@pytest.fixture(scope="module")
def studies(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of every ending that a camera or a person gives them."""
    folder = tmp_path_factory.mktemp("lesion") / "photos"
    folder.mkdir()
    endings = (".jpg", ".jpeg", ".JPG", ".png")
    for index, path in enumerate(sorted((phantoms / "ISIC2018_Task1-2_Training_Input").iterdir())):
        ending = endings[index % len(endings)]
        if ending == ".png":
            Image.open(path).save(folder / f"{path.stem}.png")
        else:
            shutil.copy(path, folder / f"{path.stem}{ending}")
    return folder


@pytest.fixture(scope="module")
def server(
    python: str, studies: Path, phantoms: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    aware = {"network_def#output_stride": 16, "image_size": [64, 64]}
    bundles = [
        write_weights(small_copy("lesion_unet", folder / TINY, **SMALL), phantoms),
        write_weights(small_copy("lesion_ba_deeplabv3", folder / AWARE, **aware)),
    ]
    with serving(python, studies, bundles, folder / "app") as running:
        yield running


def truth(phantoms: Path, name: str) -> np.ndarray:
    """The lesion's mask (H, W), 0/255."""
    folder = phantoms / "ISIC2018_Task1_Training_GroundTruth"
    return np.array(Image.open(folder / f"{name}_segmentation.png"))


def test_clients_are_told_what_there_is(server: Server) -> None:
    info = server.ask("GET", "/info/").json()
    assert list(info["models"]) == list(info["trainers"]) == [TINY, AWARE]
    assert info["labels"] == ["lesion"]
    assert info["models"][TINY]["labels"] == {"lesion": 1}
    assert info["models"][TINY]["dimension"] == 2
    assert info["trainers"][TINY]["config"]["learning_rate"] == 1e-4
    assert "uncertainty" in info["strategies"]
    assert "uncertainty" in info["scoring"]
    assert info["datastore"]["total"] == 8


def test_pages_of_other_origins_are_told_nothing(server: Server) -> None:
    answer = server.ask("GET", "/info/", headers={"Origin": "http://example.org"})
    assert "access-control-allow-origin" not in answer.headers


def test_masks_are_those_of_the_bundle(server: Server, python: str, tmp_path: Path) -> None:
    masks = own_masks(python, server.app / "model" / TINY, server.studies, tmp_path)
    assert len(masks) == len(NAMES)
    for name in NAMES:
        mask = server.mask(TINY, name)
        assert 0 < mask.mean() < 1
        np.testing.assert_array_equal(mask, masks[f"{name}_segmentation"] // 255)


def test_the_answer_tells_its_doubt(server: Server) -> None:
    answer = server.ask("POST", f"/infer/{TINY}?image={NAMES[0]}&output=json").json()
    (confidence,) = answer["confidence"]
    assert 0.5 <= confidence <= 1
    assert "unlikeness" not in answer  # the bundle is not calibrated


def test_an_uploaded_photo_is_segmented_like_a_stored_one(server: Server) -> None:
    stored = server.mask(TINY, NAMES[2])
    content = (server.studies / f"{NAMES[2]}.JPG").read_bytes()
    uploaded = server.mask(TINY, files={"file": ("holiday.v2.JPG", content)})
    np.testing.assert_array_equal(uploaded, stored)
    server.ask("PUT", "/datastore/image?image=another", files={"file": ("another.jpeg", content)})
    np.testing.assert_array_equal(server.mask(TINY, "another"), stored)
    server.ask("DELETE", "/datastore/image?id=another")


def test_a_network_with_maps_of_its_own(server: Server) -> None:
    mask = server.mask(AWARE, NAMES[0])
    assert mask.shape[::-1] == Image.open(server.studies / f"{NAMES[0]}.jpg").size
    assert set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize(
    ("request_path", "message"),
    [
        (f"/infer/{TINY}?image=nobody", "there is no photo 'nobody'"),
        (f"/infer/nothing?image={NAMES[0]}", "no model 'nothing'"),
    ],
)
def test_mistakes_are_answered_in_words(server: Server, request_path: str, message: str) -> None:
    assert message in server.ask("POST", request_path, status=400).json()["detail"]


def test_what_is_no_photo_is_refused(server: Server) -> None:
    files = {"file": ("note.jpg", b"not a photo")}
    answer = server.ask("POST", f"/infer/{TINY}?output=image", status=400, files=files)
    assert "not an image of a known format" in answer.json()["detail"]


def test_batch_inference_stores_the_masks(server: Server) -> None:
    server.ask("POST", f"/batch/infer/{TINY}?images=all&run_sync=true", json={"max_workers": 2})
    assert server.ask("GET", "/datastore/").json()["label_tags"] == {"original": len(NAMES)}
    for name in (NAMES[1], NAMES[5]):
        answer = server.ask("GET", f"/datastore/label?label={name}&tag=original", stream=True)
        stored = np.array(Image.open(answer.raw))
        np.testing.assert_array_equal(stored, server.mask(TINY, name))


def test_the_least_certain_photo_comes_next(server: Server, phantoms: Path) -> None:
    for expected in ({"scored": 8, "skipped": 0}, {"scored": 0, "skipped": 8}):
        result = server.ask("POST", "/scoring/uncertainty?run_sync=true", json={}).json()
        assert result == {TINY: expected, AWARE: expected}
    for model in (AWARE, TINY):
        path = server.app / "model" / model / "uncertainty.json"
        scores = {name: entry["uncertainty"] for name, entry in json.loads(path.read_text()).items()}
        assert sorted(scores) == NAMES
        assert all(score > 0 for score in scores.values())
    ranked = sorted(scores, key=lambda name: -scores[name])
    # one that has a label is not offered; one that was passed over makes room for the next
    server.put_label(ranked[1], truth(phantoms, ranked[1]))
    offered = [server.ask("POST", "/activelearning/uncertainty", json={}).json() for _ in range(7)]
    assert [sample["id"] for sample in offered] == [ranked[0], *ranked[2:]]
    assert offered[0]["uncertainty"] == scores[ranked[0]]


def test_training_from_labels_changes_the_next_mask(
    server: Server, phantoms: Path, python: str, tmp_path: Path
) -> None:
    before = server.mask(TINY, NAMES[0])
    folder = server.app / "model" / TINY
    weights = (folder / "models" / "model.pt").read_bytes()
    aware = (server.app / "model" / AWARE / "models" / "model.pt").read_bytes()
    for index, name in enumerate(NAMES[:5]):
        mask = truth(phantoms, name)
        server.put_label(name, mask if index % 2 else mask // 255)
    # a training that was stopped leaves its state behind, which must neither be taken up nor served
    (folder / "models" / "last.pt").write_bytes(b"left over")
    task = server.train(TINY, max_epochs=1, batch_size=2, learning_rate=0.05, val_split=0.2)
    assert task["status"] == "DONE", task["details"]
    assert any("started" in line and "model.pt" in line for line in task["details"])
    assert (folder / "models" / "model.pt").read_bytes() != weights
    assert (server.app / "model" / AWARE / "models" / "model.pt").read_bytes() == aware
    after = server.mask(TINY, NAMES[0])
    assert (after != before).any()
    masks = own_masks(python, folder, server.studies, tmp_path)
    np.testing.assert_array_equal(after, masks[f"{NAMES[0]}_segmentation"] // 255)
    # scores of the old weights count no longer
    result = server.ask("POST", "/scoring/uncertainty?run_sync=true", json={"model": TINY}).json()
    assert result[TINY]["skipped"] == 0


def test_nothing_is_left_when_the_server_ends(python: str, studies: Path, tmp_path: Path) -> None:
    bundle = write_weights(small_copy("lesion_unet", tmp_path / TINY, **SMALL))
    with serving(python, studies, [bundle], tmp_path / "app") as running:
        address = running.address
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=5)

"""A client's clicks and boxes on a promptable bundle with its own weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermaseg_monai.prompts import PromptSession, box_of_mask
from dermaseg_monai.prompts.clicks import corrective_click
from dermaseg_monai.zoo.folders import bundle_folder
from tests.label.server import Server, serving
from tests.label.test_lesion_server import truth

MODEL, NAME = "lesion_mobile_sam", "ISIC_9000001"
Clicks = dict[str, list[list[int]]]


@pytest.fixture(scope="module")
def server(python: str, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("clicks")
    (home / "photos").mkdir()
    shutil.copy(phantoms / "ISIC2018_Task1-2_Training_Input" / f"{NAME}.jpg", home / "photos")
    with serving(python, home / "photos", [bundle_folder(MODEL)], home / "app") as running:
        yield running


def answer(server: Server, params: dict[str, Any]) -> np.ndarray:
    return server.mask(MODEL, NAME, data={"params": json.dumps({"device": "cpu", **params})})


def overlap(mask: np.ndarray, target: np.ndarray) -> float:
    return float((mask & target).sum() / (mask | target).sum())


def test_clients_find_an_interactive_model(server: Server) -> None:
    model = server.ask("GET", "/info/").json()["models"][MODEL]
    assert (model["type"], model["dimension"], model["labels"]) == ("deepgrow", 2, {"lesion": 1})


def test_a_second_click_improves_the_mask(server: Server, phantoms: Path) -> None:
    target = (truth(phantoms, NAME) > 0).astype(np.uint8)
    clicks: Clicks = {"foreground": [], "background": []}
    mask, scores = np.zeros_like(target), []
    for _ in range(2):
        (x, y), label = corrective_click(mask, target) or ((0, 0), 0)
        clicks["foreground" if label else "background"].append([int(x), int(y), 0])
        mask = answer(server, clicks)
        scores.append(overlap(mask, target))
    assert scores[1] > scores[0]
    assert scores[1] > 0.5


def test_answers_are_those_of_a_session(server: Server, phantoms: Path) -> None:
    photo = phantoms / "ISIC2018_Task1-2_Training_Input" / f"{NAME}.jpg"
    left, top, right, bottom = box_of_mask(truth(phantoms, NAME))
    mask = answer(server, {"roi": [left, top, right, bottom]})
    own = PromptSession.of_bundle(MODEL, device="cpu").refine(photo, box=(left, top, right, bottom))
    # another build of the processor's arithmetic may move a boundary by a pixel
    assert overlap(mask, own) > 0.98
    np.testing.assert_array_equal(answer(server, {"roi": [left, top, right, bottom, 0, 1]}), mask)


def test_without_clicks_the_flagship_prompts(server: Server, phantoms: Path) -> None:
    assert overlap(answer(server, {}), truth(phantoms, NAME) > 0) > 0.5


@pytest.mark.parametrize(
    ("params", "message"),
    [({"foreground": [7]}, "foreground has the point 7"), ({"roi": [1, 2]}, "roi is [1, 2]")],
)
def test_refusals(server: Server, params: dict[str, Any], message: str) -> None:
    refused = server.ask("POST", f"/infer/{MODEL}?image={NAME}", 400, data={"params": json.dumps(params)})
    assert message in refused.json()["detail"]

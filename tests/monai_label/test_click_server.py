"""A client's clicks and boxes on a promptable bundle with its own weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.sam import box_of_mask
from dermaseg_monai.sam.simulated_clicks import corrective_click
from tests.monai_label.server import Server, serving
from tests.sam.helpers import two_discs

MODEL, NAME = "lesion_mobile_sam", "discs"
PHOTO, LEFT, RIGHT = two_discs(0, (96, 128))
Clicks = dict[str, list[list[int]]]


@pytest.fixture(scope="module")
def server(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clicks")
    (folder / "photos").mkdir()
    Image.fromarray(PHOTO).save(folder / "photos" / f"{NAME}.png")
    with serving(python, folder / "photos", [bundle_folder(MODEL)], folder / "app") as running:
        yield running


def answer(server: Server, params: dict[str, Any]) -> np.ndarray:
    return server.mask(MODEL, NAME, data={"params": json.dumps({"device": "cpu", **params})})


def overlap(mask: np.ndarray, target: np.ndarray) -> float:
    return float((mask & target).sum() / (mask | target).sum())


def test_clients_find_an_interactive_model(server: Server) -> None:
    model = server.ask("GET", "/info/").json()["models"][MODEL]
    assert (model["type"], model["dimension"], model["labels"]) == ("deepgrow", 2, {"lesion": 1})


def test_a_second_click_improves_the_mask(server: Server) -> None:
    target = LEFT | RIGHT
    clicks: Clicks = {"foreground": [], "background": []}
    mask, scores = np.zeros_like(target), []
    for _ in range(2):
        (x, y), label = corrective_click(mask, target) or ((0, 0), 0)
        clicks["foreground" if label else "background"].append([int(x), int(y), 0])
        mask = answer(server, clicks)
        scores.append(overlap(mask, target))
    assert scores[0] < 0.7
    assert scores[1] > 0.9


def test_a_box_chooses_what_is_in_it(server: Server) -> None:
    left, top, right, bottom = box_of_mask(RIGHT) or (0, 0, 0, 0)
    mask = answer(server, {"roi": [left, top, right, bottom]})
    assert overlap(mask, RIGHT) > 0.9
    np.testing.assert_array_equal(answer(server, {"roi": [left, top, right, bottom, 0, 1]}), mask)


def test_without_clicks_the_flagship_prompts(server: Server) -> None:
    assert answer(server, {}).shape == LEFT.shape


@pytest.mark.parametrize(
    ("params", "message"),
    [({"foreground": [7]}, "foreground has the point 7"), ({"roi": [1, 2]}, "roi is [1, 2]")],
)
def test_refusals(server: Server, params: dict[str, Any], message: str) -> None:
    refused = server.ask("POST", f"/infer/{MODEL}?image={NAME}", 400, data={"params": json.dumps(params)})
    assert message in refused.json()["detail"]

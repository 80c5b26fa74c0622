"""The interface for programs, in this process."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.app.limits import Limits, read_token
from dermaseg_monai.app.models import Model
from dermaseg_monai.app.server import build_app
from dermaseg_monai.app.turns import BusyError, Turns
from dermaseg_monai.metrics.lesion_shape import measure_lesion
from dermaseg_monai.utils.errors import InputError
from tests.app.segmented import segmented
from tests.datasets.layout import encode
from tests.reliability.bad_files import SIZE, colours
from tests.tiny_bundle import write_tiny_bundle, write_tiny_promptable
from tests.web import running_server

fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed")
pytest.importorskip("httpx2", reason="httpx2 is not installed")

Client = Callable[..., Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    folder = tmp_path_factory.mktemp("bundles")
    folders = [
        write_tiny_bundle(folder / "lesion_tiny", "lesion_unet"),
        write_tiny_bundle(folder / "attribute_tiny", "attribute_unet"),
        write_tiny_promptable(folder / "lesion_clicked"),
    ]
    return [Model(one) for one in folders]


@pytest.fixture
def client(models: list[Model]) -> Iterator[Client]:
    """Opens a client of a server with limits of its own."""
    from fastapi.testclient import TestClient

    opened = []

    def open_client(bundles: list[Model] | None = None, prefix: str = "", **limits: Any) -> Any:
        app = build_app(bundles or models, Limits(**limits), prefix=prefix)
        one = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False).__enter__()
        opened.append(one)
        return one

    yield open_client
    for one in opened:
        one.__exit__(None, None, None)


JPEG = encode(colours(), "JPEG")


def segment(client: Any, *photos: tuple[str, bytes], headers: Any = None, **fields: str) -> Any:
    files = [("photos", photo) for photo in photos]
    return client.post("/api/segment", files=files, data=fields, headers=headers)


def mask_of(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_photo_becomes_json(client: Client, models: list[Model], tmp_path: Path) -> None:
    answer = segment(client(), ("a.jpg", JPEG), uncertainty="true", preview="true", pixels_per_mm="10")
    assert answer.status_code == 200
    (photo,) = answer.json()["photos"]
    (tmp_path / "a.jpg").write_bytes(JPEG)
    expected = segmented(models[0], tmp_path / "a.jpg")
    assert np.array_equal(mask_of(photo["mask"]), expected.masks[0] * 255)
    assert (photo["name"], photo["bundle"], photo["width"], photo["height"]) == (
        "a.jpg",
        "lesion_tiny",
        *SIZE,
    )
    measured = measure_lesion(expected.masks[0])
    assert photo["measurements"]["asymmetry"] == pytest.approx(measured.asymmetry)
    assert photo["measurements"]["diameter_mm"] == pytest.approx(measured.diameter_mm(10))
    assert mask_of(photo["uncertainty"]["map"]).shape == SIZE[::-1]
    assert 0 < photo["uncertainty"]["mean"] <= 1
    assert mask_of(photo["preview"]).shape == (*SIZE[::-1], 3)
    assert photo["attributes"] is None


def test_a_bad_photo_among_good_ones_costs_only_itself(client: Client) -> None:
    photos = ("a.jpg", JPEG), ("letter.jpg", b"dear doctor"), ("b.png", encode(colours(1), "PNG"))
    one = client()
    answer = segment(one, *photos, attributes="attribute_tiny")
    assert answer.status_code == 200
    first, letter, last = answer.json()["photos"]
    assert letter == {
        "name": "letter.jpg",
        "error": "this is not an image of a known format; replace it or leave it out.",
    }
    assert [photo["name"] for photo in (first, last)] == ["a.jpg", "b.png"]
    assert len(first["attributes"]) == 5
    assert mask_of(first["attributes"]["streaks"]["mask"]).shape == SIZE[::-1]
    assert segment(one, ("letter.jpg", b"dear doctor")).status_code == 422
    counts = one.get("/metrics").text
    assert 'dermaseg_photos_total{bundle="lesion_tiny",outcome="segmented"} 2' in counts
    assert 'dermaseg_requests_total{path="/api/segment",status="422"} 1' in counts
    assert 'dermaseg_request_seconds_bucket{le="+Inf"} 2' in counts
    assert "dermaseg_requests_under_way 0" in counts


def test_an_answer_in_parts(client: Client) -> None:
    from email.parser import BytesParser

    one = client()
    answer = segment(one, ("a.jpg", JPEG), headers={"accept": "multipart/form-data"})
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    described, picture = BytesParser().parsebytes(head + answer.content).get_payload()
    (photo,) = json.loads(described.get_payload(decode=True))["photos"]
    assert picture.get_param("name", header="content-disposition") == photo["mask"] == "picture1"
    mask = np.asarray(Image.open(io.BytesIO(picture.get_payload(decode=True))))
    assert np.array_equal(mask, mask_of(segment(one, ("a.jpg", JPEG)).json()["photos"][0]["mask"]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bundle": "no_such"}, "bundle is 'no_such'; the bundles to choose from are lesion_tiny."),
        ({"attributes": "lesion_tiny"}, "the bundles to choose from are attribute_tiny."),
        ({"uncertainty": "perhaps"}, "uncertainty is 'perhaps'; send true or false."),
        ({"pixels_per_mm": "-1"}, "give a number above 0."),
    ],
)
def test_impossible_options(client: Client, fields: dict[str, str], message: str) -> None:
    answer = segment(client(), ("a.jpg", JPEG), **fields)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(message)


def test_an_address_is_not_fetched(client: Client) -> None:
    with running_server() as outside:
        outside.files["photo.png"] = encode(colours(), "PNG")
        one = client()
        for fields in ({"photos": f"{outside.url}photo.png"}, {"photos": "/etc/passwd"}):
            answer = one.post("/api/segment", data=fields)
            assert (answer.status_code, answer.json()["detail"]) == (422, "photos has 0 files; send 1 to 16.")
        for path in (f"/{outside.url}photo.png", "/../server.py", "/%2e%2e/server.py", "/api/none"):
            assert one.get(path).status_code == 404
        assert not outside.requests


def test_clicks_add_and_remove(client: Client, models: list[Model], tmp_path: Path) -> None:
    one = client()
    assert one.get("/api/bundles").json()["refine"] is True
    height, width = SIZE[::-1]
    (tmp_path / "a.jpg").write_bytes(JPEG)
    from dermaseg_monai.sam import Prompt

    part = models[2].refine(tmp_path / "a.jpg", Prompt(points=((20.0, 12.0),), labels=(1,)))
    before = np.zeros((height, width), dtype=np.uint8)
    before[: height // 2] = 1

    def refine(points: list, mask: np.ndarray | None = before) -> Any:
        files: dict[str, Any] = {"photo": ("a.jpg", JPEG)}
        if mask is not None:
            files["mask"] = ("mask.png", encode(Image.fromarray(mask * 255), "PNG"))
        return one.post("/api/refine", files=files, data={"points": json.dumps(points)})

    added = refine([[20, 12, 1]]).json()
    assert np.array_equal(mask_of(added["mask"]) > 0, (before | part) > 0)
    assert added["measurements"]["area_px"] == int((before | part).sum())
    removed = mask_of(refine([[20, 12, 0]]).json()["mask"]) > 0
    assert np.array_equal(removed, (before & (1 - part)) > 0)
    assert np.array_equal(mask_of(refine([[20, 12, 1]], None).json()["mask"]) > 0, part > 0)

    assert refine([[20, 12]]).json()["detail"].startswith("points are [[x, y, 1 or 0], ...]")
    assert "neither a box nor a point" in refine([]).json()["detail"]
    assert "differ in size" in refine([[1, 1, 1]], before[:-1]).json()["detail"]
    assert client(models[:1]).post("/api/refine").status_code == 501


def test_a_token(client: Client, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct horse")
    with pytest.raises(InputError, match="holds no token"):
        read_token(tmp_path / "token")
    (tmp_path / "token").write_text("correct-horse-battery\n")
    one = client(token=read_token(tmp_path / "token"))
    for path in ("/api/bundles", "/metrics"):
        assert one.get(path).status_code == 401
    assert segment(one, ("a.jpg", JPEG)).status_code == 401
    headers = {"authorization": "Bearer correct-horse-battery"}
    assert segment(one, ("a.jpg", JPEG), headers=headers).status_code == 200
    assert one.get("/api/health").status_code == 200
    assert one.get("/config.json").json() == {"engine": "server", "token": True}


def test_pages_of_another_site(client: Client) -> None:
    strange = {"sec-fetch-site": "cross-site", "origin": "https://strange.example"}
    answer = segment(client(), ("a.jpg", JPEG), headers=strange)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    friendly = client(origins=["https://strange.example"])
    answer = segment(friendly, ("a.jpg", JPEG), headers=strange)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, strange["origin"])
    assert client().get("/", headers={"host": "elsewhere.example"}).status_code == 400


def test_an_address_that_asks_too_often(client: Client) -> None:
    one = client(per_minute=2)
    statuses = [segment(one, ("a.jpg", JPEG)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert 1 <= int(segment(one, ("a.jpg", JPEG)).headers["retry-after"]) <= 31


def test_a_request_that_is_too_large(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from dermaseg_monai.app import forms, guard

    monkeypatch.setattr(guard, "MAX_BODY", len(JPEG))
    one = client()
    assert segment(one, ("a.jpg", JPEG)).status_code == 413
    unannounced = one.post(
        "/api/segment",
        content=iter([bytes(1000)] * 10),
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert unannounced.status_code == 413
    monkeypatch.undo()
    monkeypatch.setattr(forms, "MAX_PHOTO_BYTES", len(JPEG) - 1)
    (photo,) = segment(one, ("a.jpg", JPEG)).json()["photos"]
    assert photo["error"] == "the file has more than 0 MB."


def test_a_full_queue(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    one = client(places=1)
    monkeypatch.setattr(Turns, "taken", 1, raising=False)

    def full(self: Turns) -> Any:
        raise BusyError(7)

    monkeypatch.setattr(Turns, "place", full)
    answer = segment(one, ("a.jpg", JPEG))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


def test_places_in_the_queue() -> None:
    turns = Turns(workers=2, places=2)
    with turns.place(), turns.place():
        with pytest.raises(BusyError, match="try again in 1 seconds"), turns.place():
            pass
        assert turns.taken == 2
    assert turns.taken == 0


def test_a_full_queue_says_how_long_others_took(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(workers=2, places=1)
    clock = iter([0.0, 31.0, 40.0, 41.0])
    monkeypatch.setattr("dermaseg_monai.app.turns.time.monotonic", lambda: next(clock))
    with turns.place():
        pass
    # 1 second is assumed at first, and each answer counts for a tenth
    with turns.place(), pytest.raises(BusyError, match="try again in 4 seconds"), turns.place():
        pass


def test_of_many_photos_few_are_in_memory(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way = []

    async def answer(path: Path, name: str, *_: Any) -> dict[str, Any]:
        under_way.append(len(list(path.parent.glob("*.jpg"))))
        await asyncio.sleep(0.01)
        return {"name": name}

    monkeypatch.setattr("dermaseg_monai.app.api.answer", answer)
    segment(client(), *[(f"{number}.jpg", JPEG) for number in range(16)])
    assert max(under_way) == 8


def test_an_answer_that_takes_too_long(
    client: Client, models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dermaseg_monai.app.api.answer", lambda *arguments: asyncio.sleep(1))
    answer = segment(client(seconds=0.2), ("a.jpg", JPEG))
    assert (answer.status_code, answer.json()["detail"]) == (
        504,
        "the answer took too long: the limit is 0.2 seconds.",
    )


@pytest.mark.parametrize(
    "limits", [{"places": 0}, {"seconds": 0}, {"per_minute": -1}], ids=lambda limits: next(iter(limits))
)
def test_impossible_limits(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="give"):
        Limits(**limits)


def test_the_description_is_complete(client: Client) -> None:
    described = client().get("/api/openapi.json").json()
    assert {"/api/segment", "/api/refine", "/api/bundles", "/api/health", "/metrics"} == set(
        described["paths"]
    )
    form = described["paths"]["/api/segment"]["post"]["requestBody"]["content"]["multipart/form-data"][
        "schema"
    ]
    assert set(form["properties"]) == {
        *("photos", "bundle", "attributes", "uncertainty", "bounds", "preview", "pixels_per_mm"),
    }
    assert {"Answers", "Segmented", "Measured"} <= set(described["components"]["schemas"])


@pytest.mark.parametrize("path", ["/lesions", ""], ids=["prefix kept", "prefix stripped"])
def test_behind_a_proxy(client: Client, path: str) -> None:
    one = client(prefix="/lesions")
    assert one.get(f"{path}/api/health").json()["status"] == "ok"
    page = one.get(f"{path}/")
    assert page.status_code == 200
    assert "connect-src" not in page.headers["content-security-policy"]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-cache"
    assert one.get(f"{path}/example.jpg").headers["content-type"] == "image/jpeg"
    assert segment(one, ("a.jpg", JPEG)).headers["cache-control"] == "no-store"

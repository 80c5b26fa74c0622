"""The page as a visitor meets it, in a real browser, with the real engine behind it."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from dermaseg_monai.app.site import RUNTIME, write_site
from dermaseg_monai.datasets.phantoms import render_phantom
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.metrics.lesion_shape import measure_lesion
from dermaseg_monai.sam.session import PromptSession
from tests.app.server import Served, served
from tests.app.site import axe_source, npm_archive, static_server
from tests.browser import PHONE, open_page, overflow, requests_of
from tests.tiny_bundle import write_tiny_bundle, write_tiny_promptable

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("fastapi", reason="FastAPI is not installed")

WAIT = 120_000  # ms, for a machine that has much else to do


@pytest.fixture(scope="module")
def promptable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny, untrained bundle that answers clicks."""
    return write_tiny_promptable(tmp_path_factory.mktemp("promptable") / "lesion_clicked")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, promptable: Path) -> Iterator[Served]:
    """The page with the flagship, and tiny, untrained bundles for attributes and clicks."""
    folder = tmp_path_factory.mktemp("app")
    bundles = [write_tiny_bundle(folder / "attribute_tiny", "attribute_unet"), promptable]
    with served(folder / "temporary", "--bundle", ",".join(map(str, bundles))) as running:
        yield running


@pytest.fixture(scope="module", params=["server", "local"])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, promptable: Path
) -> Iterator[str]:
    """The address of a page with the flagship, by each engine."""
    if request.param == "server":
        yield request.getfixturevalue("app").url
        return
    pytest.importorskip("onnx", reason="ONNX is not installed")
    folder = tmp_path_factory.mktemp("site")
    site = write_site(folder / "site", runtime=npm_archive(RUNTIME, folder / "npm"), clicks=promptable)
    with static_server(site) as url:
        yield url


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_source(tmp_path_factory.mktemp("npm"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two phantoms, one turned by its EXIF tag, and a text that calls itself a photo."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(render_phantom(50, (120, 160)).image).save(folder / "one.jpg")
    turned = Image.fromarray(render_phantom(3, (120, 160)).image)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    (folder / "letter.jpg").write_text("dear doctor")
    return folder


def visit(page: Page, url: str) -> None:
    page.set_default_timeout(WAIT)
    page.goto(f"{url}/")
    page.wait_for_selector("body[data-ready]")


def drop(page: Page, url: str, *files: Path) -> None:
    """Open the page, add the files and wait for the results."""
    visit(page, url)
    page.locator("#files").set_input_files(list(files))
    page.wait_for_selector("#status[data-state=done]")


def fetched(page: Page, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(download.value.path()).read_bytes()


def rows_of(page: Page) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(fetched(page, "Table (CSV)").decode())))


def mask_of(page: Page) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(fetched(page, "Mask (PNG)"))))


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the photo, as shares of its sides, is on the screen."""
    box = page.locator(".pane canvas").first.bounding_box()
    view = page.evaluate("document.querySelector('.level').textContent")
    scale = float(view.split()[0].replace(",", "")) / 100
    width, height = map(int, re.findall(r"\d+", page.locator(".panel .sub").first.inner_text())[:2])
    assert box is not None
    return (
        box["x"] + box["width"] / 2 + (x - 0.5) * width * scale,
        box["y"] + box["height"] / 2 + (y - 0.5) * height * scale,
    )


def drag(page: Page, *path: tuple[float, float]) -> None:
    points = [on_screen(page, *point) for point in path]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=6)
    page.mouse.up()


def test_photos_become_masks_measurements_and_downloads(address: str, photos: Path, tmp_path: Path) -> None:
    with open_page() as page:
        addresses = requests_of(page)
        drop(page, address, photos / "one.jpg", photos / "letter.jpg", photos / "turned.jpg")

        assert page.locator("#strip .caption").all_inner_texts() == ["one.jpg", "turned.jpg"]
        refused = page.get_by_role("alert").inner_text()
        assert re.search("letter.jpg: this (is not an image|browser cannot open it)", refused)
        assert "/" not in refused  # no path of the server's
        assert "not a medical device" in page.get_by_role("note").inner_text()
        assert "160 \u00d7 120 pixels" in page.locator("#panel").inner_text()

        page.get_by_label("Use for all photos").check()
        page.get_by_label("Pixels per millimetre").fill("10,0")
        page.get_by_label("Pixels per millimetre").press("Enter")
        page.locator("#panel").get_by_text(" mm²").wait_for()

        engine = page.evaluate("fetch('config.json').then((answer) => answer.json())")["engine"]
        # browsers compute in float32, whatever the processor is fast at
        precision = {"amp": False} if engine == "local" else {}
        expected = predict(photos, tmp_path / "predicted", outlines=True, **precision).set_index("id")
        rows = rows_of(page)
        assert [row["id"] for row in rows] == ["one", "turned"]
        for row in rows:
            mask = np.asarray(Image.open(tmp_path / "predicted" / f"{row['id']}_segmentation.png"))
            measured = measure_lesion(mask)
            assert float(row["area_share"]) == pytest.approx(expected.loc[row["id"], "area_share"], rel=0.02)
            assert float(row["asymmetry"]) == pytest.approx(measured.asymmetry, rel=0.02, abs=0.004)
            assert float(row["border_irregularity"]) == pytest.approx(measured.border_irregularity, rel=0.02)
            assert float(row["diameter_mm"]) == pytest.approx(measured.diameter_mm(10), rel=0.02)
            assert float(row["confidence"]) == pytest.approx(expected.loc[row["id"], "confidence"], abs=0.002)
            assert 0 < float(row["uncertainty"]) < 1
        assert [[row["height"], row["width"]] for row in rows] == [["120", "160"], ["160", "120"]]
        with zipfile.ZipFile(io.BytesIO(fetched(page, "Everything (zip)"))) as archive:
            assert archive.testzip() is None
            names = set(archive.namelist())
            outlines = ("inner.png", "outer.png")
            endings = (
                *("segmentation.png", "outline.svg", "outline.json", "outline.jpg", "uncertainty.png"),
                *outlines,
            )
            assert names == {"measurements.csv"} | {
                f"{stem}_{ending}" for stem in ("one", "turned") for ending in endings
            }
            for name in (
                f"{stem}_{end}" for stem in ("one", "turned") for end in ("segmentation.png", *outlines)
            ):
                ours = np.asarray(Image.open(archive.open(name)))
                folder = tmp_path / "predicted" / ("outlines" if name.endswith(outlines) else "")
                theirs = np.asarray(Image.open(folder / name))
                assert set(np.unique(ours)) == {0, 255}
                assert (ours == theirs).mean() > 0.998

        assert addresses
        assert not [one for one in addresses if not one.startswith((address, "data:", "blob:"))]


def test_the_mask_is_corrected_undone_and_measured(address: str, photos: Path) -> None:
    with open_page() as page:
        drop(page, address, photos / "one.jpg")
        first = mask_of(page)
        page.get_by_role("button", name="Brush").click()
        drag(page, (0.05, 0.05), (0.25, 0.05))
        page.locator("#panel").get_by_text("Corrected by hand").wait_for()
        painted = mask_of(page)
        assert (painted >= first).all()
        assert painted[6, 16] == 255 != first[6, 16]
        page.get_by_role("button", name="Eraser").click()
        drag(page, (0.05, 0.05), (0.1, 0.05))
        assert mask_of(page)[6, 9] == 0
        page.get_by_role("button", name="Undo").click()
        page.keyboard.press("Control+z")
        assert np.array_equal(mask_of(page), first)
        assert page.locator("#panel").get_by_text("Corrected by hand").count() == 0
        page.keyboard.press("Control+Shift+z")
        page.get_by_role("button", name="Redo").click()
        page.get_by_role("button", name="Undo").click()
        assert np.array_equal(mask_of(page), painted)
        (row,) = rows_of(page)
        assert row["corrected"] == "true"
        assert float(row["area_share"]) == pytest.approx((painted > 0).mean(), abs=1e-6)
        assert float(row["diameter_px"]) == pytest.approx(measure_lesion(painted).diameter_px, rel=1e-5)
        feature = json.loads(fetched(page, "Polygons (JSON)"))
        rings = [ring for polygon in feature["geometry"]["coordinates"] for ring in polygon]
        areas = sum(x0 * y1 - x1 * y0 for ring in rings for (x0, y0), (x1, y1) in itertools.pairwise(ring))
        assert areas / 2 == (painted > 0).sum()
        assert fetched(page, "Outline (SVG)").count(b"M") == len(rings)
        page.get_by_role("button", name="Back to the network's outline").click()
        assert np.array_equal(mask_of(page), first)


def test_a_point_of_the_outline_is_dragged(address: str, photos: Path) -> None:
    with open_page() as page:
        drop(page, address, photos / "one.jpg")
        first = mask_of(page) > 0
        rows, columns = np.nonzero(first)
        top = int(rows.argmin())
        page.get_by_role("button", name="Points").click()
        start = ((columns[top] + 0.5) / 160, rows[top] / 120)
        drag(page, start, (start[0], start[1] - 0.1))
        page.locator("#panel").get_by_text("Corrected by hand").wait_for()
        moved = mask_of(page) > 0
        changed = np.nonzero(moved != first)
        assert 0 < len(changed[0]) < 0.2 * first.sum()  # the rest stays to the pixel
        assert moved.sum() > first.sum()


def test_clicks(address: str, photos: Path, promptable: Path) -> None:
    session = PromptSession.of_bundle(promptable, device="cpu")
    asked = {"points": [(80, 60)], "labels": [1]}
    part = session.refine(photos / "one.jpg", **asked) > 0
    assert 0 < part.mean() < 1
    with open_page() as page:
        drop(page, address, photos / "one.jpg")
        before = mask_of(page) > 0
        for name, expected in (("Click: add", before | part), ("Click: remove", before & ~part)):
            page.get_by_role("button", name=name).click()
            page.mouse.click(*on_screen(page, 0.5, -0.02))  # beside the photo: nothing happens
            page.mouse.click(*on_screen(page, 0.5, 0.5))
            page.locator("#panel").get_by_text("Corrected by hand").wait_for()
            page.wait_for_selector("#status[data-state=done]")
            # the pointer is a fraction of a pixel beside the point that was meant
            assert ((mask_of(page) > 0) != expected).mean() < 0.01
            page.get_by_role("button", name="Undo").click()


def test_the_ruler_sets_the_scale(address: str, photos: Path) -> None:
    with open_page() as page:
        drop(page, address, photos / "one.jpg")
        page.get_by_role("button", name="Ruler: set the scale").click()
        drag(page, (0.1, 0.5), (0.6, 0.5))
        page.get_by_label("Its true length in mm").fill("8")
        page.get_by_role("button", name="Set the scale", exact=True).click()
        assert float(page.get_by_label("Pixels per millimetre").input_value()) == pytest.approx(10, rel=0.02)


def test_two_photos_are_compared(address: str, photos: Path) -> None:
    later = Image.open(photos / "one.jpg").rotate(30, expand=True, fillcolor=(220, 180, 170))
    later.save(photos / "later.png")
    with open_page() as page:
        drop(page, address, photos / "one.jpg", photos / "later.png")
        page.get_by_role("button", name="Compare").click()
        table = page.get_by_role("table")
        assert [row.split("\t")[0] for row in table.inner_text().splitlines()][1:] == [
            *("Area", "Greatest diameter", "Asymmetry", "Border irregularity"),
        ]
        assert "cannot say" in page.locator(".caution").inner_text()
        overlay = page.locator(".overlay")
        share = int(re.findall(r"(\d+)%", overlay.inner_text())[0])
        assert share > 60
        overlay.locator("canvas").focus()
        for _ in range(12):
            page.keyboard.press("ArrowRight")
        assert int(re.findall(r"(\d+)%", overlay.inner_text())[0]) < share
        page.get_by_role("button", name="By shape").click()
        assert int(re.findall(r"(\d+)%", overlay.inner_text())[0]) == share
        page.get_by_role("button", name="Back to the photos").click()
        assert page.locator("#stage").is_visible()


def test_a_file_beyond_the_limit_is_named(address: str, photos: Path) -> None:
    (photos / "bigger.tif").write_bytes(bytes(64 * 2**20 + 1))
    with open_page() as page:
        drop(page, address, photos / "bigger.tif", photos / "one.jpg")
        assert "bigger.tif: the file has more than 64 MB." in page.get_by_role("alert").inner_text()
        assert page.locator("#strip .caption").all_inner_texts() == ["one.jpg"]


def test_a_format_that_browsers_do_not_show(app: Served, photos: Path) -> None:
    Image.open(photos / "one.jpg").save(photos / "scan.tif")
    with open_page() as page:
        drop(page, app.url, photos / "scan.tif")
        assert mask_of(page).shape == (120, 160)
        assert page.locator("#strip img").count() == 1


def test_attributes_on_a_phone(app: Served) -> None:
    with open_page(**PHONE) as page:
        visit(page, app.url)
        page.get_by_role("button", name="Try a synthetic photo").click()
        page.wait_for_selector("#status[data-state=done]")
        page.get_by_role("button", name="Options").click()
        page.get_by_label("Network for dermoscopic attributes").select_option("attribute_tiny")
        page.get_by_role("button", name="Close").first.click()
        page.wait_for_selector("#status[data-state=done]")
        page.locator("input[value=attributes]").click()
        page.locator(".legend:not(:empty)").wait_for()
        assert overflow(page) == 0
        page.get_by_role("button", name="Remove all photos").click()
        page.get_by_role("button", name="Choose photos").wait_for()


def test_by_keyboard_alone(address: str, photos: Path) -> None:
    with open_page() as page:
        drop(page, address, photos / "one.jpg")
        first = mask_of(page)
        page.locator("#strip button").first.focus()
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "CANVAS":
                break
        page.keyboard.press("b")
        for _ in range(25):
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.locator("#panel").get_by_text("Corrected by hand").wait_for()
        painted = mask_of(page)
        assert (painted > first).sum() > 20
        assert (painted >= first).all()


def test_a_token_is_asked_for(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery")
    options = ("--token_file", str(tmp_path / "token"), "--prefix", "/lesions")
    with served(tmp_path / "temporary", *options) as app, open_page() as page:
        page.set_default_timeout(WAIT)
        page.goto(f"{app.url}/")
        for token in ("a wrong one", "correct-horse-battery"):
            page.get_by_label("Token", exact=True).fill(token)
            page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("body[data-ready]")
        page.locator("#files").set_input_files(photos / "one.jpg")
        page.wait_for_selector("#status[data-state=done]")
        assert mask_of(page).shape == (120, 160)
        # the server's temporary files
        assert list(app.folder.glob("dermaseg-app-*"))
        assert not [path for path in app.folder.rglob("*") if path.is_file()]
        app.stop()
        assert not list(app.folder.glob("dermaseg-app-*"))
        assert "Traceback" not in "".join(app.output)


def test_doubt_is_shown(app: Served, photos: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "noise.png")
    with open_page() as page:
        drop(page, app.url, photos / "noise.png")
        assert "Do not rely on the outline" in page.locator("#panel").inner_text()
        page.get_by_role("button", name="Remove this photo").click()
        page.locator("#files").set_input_files(photos / "one.jpg")
        page.wait_for_selector("#status[data-state=done]")
        page.locator("input[value=bounds]").click()
        page.locator(".legend:not(:empty)").wait_for()
        legend = page.locator(".legend").inner_text()
        assert "Inner: within the lesion" in legend
        assert "Outer: around the lesion" in legend


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier(address: str, scheme: str, axe: str, photos: Path) -> None:
    with open_page(color_scheme=scheme) as page:
        visit(page, address)
        assert barriers(page, axe) == []
        files = [photos / name for name in ("one.jpg", "turned.jpg", "letter.jpg")]
        page.locator("#files").set_input_files(files)
        page.wait_for_selector("#status[data-state=done]")
        page.get_by_role("button", name="Brush").click()
        page.locator("input[value=uncertainty]").click()
        page.locator(".legend:not(:empty)").wait_for()
        assert barriers(page, axe) == []
        page.get_by_role("button", name="Compare").click()
        assert barriers(page, axe) == []


def barriers(page: Page, axe: str) -> list[str]:
    """What axe-core finds wrong, by rule, with the elements."""
    page.evaluate(axe)
    violations = page.evaluate("axe.run(document).then((result) => result.violations)")
    return [f"{rule['id']}: {[node['html'][:120] for node in rule['nodes']]}" for rule in violations]


@pytest.mark.parametrize("width", [320, 768, 2560])
def test_narrow_and_wide(app: Served, width: int, photos: Path) -> None:
    with open_page(viewport={"width": width, "height": 900}) as page:
        visit(page, app.url)
        assert overflow(page) == 0
        page.locator("#files").set_input_files([photos / "one.jpg", photos / "turned.jpg"])
        page.wait_for_selector("#status[data-state=done]")
        assert overflow(page) == 0
        page.get_by_role("button", name="Compare").click()
        assert overflow(page) == 0


def test_nothing_of_a_photo_is_kept(app: Served, photos: Path) -> None:
    with open_page() as page:
        drop(page, app.url, photos / "one.jpg")
        assert page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
        assert not [line for line in app.output if line.startswith(("CONNECTED", "LOOKED UP"))]
        deadline = time.monotonic() + 60
        while [path for path in app.folder.rglob("*") if path.is_file()] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [path for path in app.folder.rglob("*") if path.is_file()]


def test_only_this_computer_is_answered(app: Served) -> None:
    assert app.url.startswith("http://127.0.0.1:")
    stranger = urllib.request.Request(app.url, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(stranger, timeout=60)
    answer = urllib.request.urlopen(app.url, timeout=60)
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_description_of_the_interface(app: Served) -> None:
    with open_page() as page:
        addresses = requests_of(page)
        page.goto(f"{app.url}/api.html")
        page.get_by_text("POST", exact=True).first.wait_for()
        assert page.get_by_role("heading", name="/api/segment").count() == 1
        assert not [one for one in addresses if not one.startswith(app.url)]

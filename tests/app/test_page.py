"""The page as a visitor meets it: the real server, a real browser."""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermaseg_monai.data.phantoms import render_phantom
from dermaseg_monai.predict import predict
from tests.app.server import Served, served
from tests.browser import PHONE, open_page, overflow, page, requests_of
from tests.tiny_bundle import write_tiny_bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("gradio", reason="gradio is not installed")

__all__ = ["page"]

WAIT = 120_000  # ms, for a machine that has much else to do


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page with the flagship and a tiny, untrained attribute bundle."""
    folder = tmp_path_factory.mktemp("app")
    bundle = write_tiny_bundle(folder / "attribute_tiny", "attribute_unet")
    with served(folder / "temporary", "--bundle", str(bundle)) as running:
        yield running


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


def drop(page: Page, url: str, *files: Path) -> None:
    """Open the page, upload the files and wait for the results."""
    page.set_default_timeout(WAIT)
    page.goto(url)
    page.wait_for_selector(".empty")
    page.locator("#photos input[type=file]").set_input_files(list(files))
    page.wait_for_selector(".status.done")


def fetched(page: Page, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    return Path(download.value.path()).read_bytes()


def left_of(app: Served, stem: str) -> list[Path]:
    return [path for path in app.folder.rglob(f"{stem}*") if path.is_file()]


def test_photos_become_masks_measurements_and_downloads(
    app: Served, page: Page, photos: Path, tmp_path: Path
) -> None:
    addresses = requests_of(page)
    drop(page, app.url, photos / "one.jpg", photos / "letter.jpg", photos / "turned.jpg")

    assert page.locator(".card h2").all_inner_texts() == ["turned.jpg", "one.jpg"]
    refused = page.get_by_role("alert").inner_text()
    assert "letter.jpg: this is not an image of a known format" in refused
    assert "/" not in refused  # no path of the server's
    assert "not a medical device" in page.get_by_role("note").inner_text()

    masks = page.get_by_alt_text("Mask of one.jpg: the lesion white")
    masks.scroll_into_view_if_needed()
    page.wait_for_function(
        "image => image.complete && image.naturalWidth === 160", arg=masks.element_handle()
    )
    card = page.locator(".card").last
    assert card.locator("img").count() == 3
    assert "120 pixels" in card.inner_text()
    assert card.get_by_role("row").count() == 6
    assert card.get_by_role("row", name="Greatest diameter").inner_text().count(" px") == 1

    page.get_by_role("button", name="Options").click()
    page.get_by_label("Pixels per millimetre").fill("10")
    page.get_by_label("Pixels per millimetre").press("Enter")
    page.wait_for_function("document.querySelector('.measurements').innerText.includes(' mm')")

    expected = predict(photos, tmp_path / "predicted")
    table = pd.read_csv(io.BytesIO(fetched(page, "Download measurements (CSV)")), index_col="id")
    assert table.index.tolist() == ["one", "turned"]
    assert table["area_share"].tolist() == pytest.approx(expected["area_share"].tolist(), abs=1e-5)
    assert table[["height", "width"]].to_numpy().tolist() == [[120, 160], [160, 120]]
    assert (table["diameter_mm"] * 10).tolist() == pytest.approx(table["diameter_px"].tolist(), rel=1e-4)
    with zipfile.ZipFile(io.BytesIO(fetched(page, "Download masks (zip)"))) as archive:
        assert "measurements.csv" in archive.namelist()
        for name in ("one_segmentation.png", "turned_segmentation.png"):
            ours, theirs = Image.open(archive.open(name)), Image.open(tmp_path / "predicted" / name)
            assert np.array_equal(np.asarray(ours), np.asarray(theirs))
            assert np.asarray(ours).any()

    assert addresses
    outside = [one for one in addresses if not one.startswith((app.url, "data:", "blob:"))]
    assert not outside
    assert not [line for line in app.output if line.startswith(("CONNECTED", "LOOKED UP"))]


def test_a_file_beyond_the_limit_is_named(app: Served, page: Page, photos: Path) -> None:
    (photos / "bigger.tif").write_bytes(bytes(64 * 2**20 + 1))
    page.set_default_timeout(WAIT)
    page.goto(app.url)
    page.wait_for_selector(".empty")
    files = page.locator("#photos input[type=file]")
    files.set_input_files([photos / "bigger.tif", photos / "one.jpg"])
    page.get_by_text('exceed the maximum allowed size of 64.0 Mb: "bigger.tif"').wait_for()
    assert page.locator(".empty").is_visible()  # nothing of that drop was taken
    files.set_input_files(photos / "one.jpg")
    page.wait_for_selector(".status.done")
    assert page.locator(".card h2").all_inner_texts() == ["one.jpg"]


def test_attributes_on_a_phone(app: Served, photos: Path) -> None:
    with open_page(**PHONE) as page:
        page.set_default_timeout(WAIT)
        page.goto(app.url)
        page.get_by_role("button", name="Try a synthetic photo").click()
        page.wait_for_selector(".status.done")
        page.get_by_role("button", name="Options").click()
        page.get_by_label("Network for dermoscopic attributes").click()
        page.get_by_role("option", name="attribute_tiny").click()
        page.wait_for_selector(".pictures.of-4")
        page.wait_for_selector(".status.done")
        assert "dermoscopic attributes" in page.locator("figure img").last.get_attribute("alt")
        assert overflow(page) == 0
        page.get_by_role("button", name="Remove all photos").click()
        page.wait_for_selector(".empty")


def test_nothing_is_left_when_the_page_is_closed(app: Served, photos: Path) -> None:
    with open_page() as page:
        drop(page, app.url, photos / "one.jpg")
        assert page.evaluate("window.gradio_config.run_history") is False
        assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('run-history'))") == []
        address = page.get_by_alt_text("Mask of one.jpg: the lesion white").get_attribute("src")
        assert urllib.request.urlopen(f"{app.url}/{address}", timeout=60).status == 200
        assert left_of(app, "one")
    deadline = time.monotonic() + 60
    while left_of(app, "one") and time.monotonic() < deadline:
        time.sleep(0.1)  # the server notices that the browser is gone
    assert not left_of(app, "one")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{app.url}/{address}", timeout=60)


def test_only_this_computer_is_answered(app: Served) -> None:
    assert app.url.startswith("http://127.0.0.1:")
    stranger = urllib.request.Request(app.url, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(stranger, timeout=60)
    answer = urllib.request.urlopen(app.url, timeout=60)
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_stopping_leaves_nothing(tmp_path: Path) -> None:
    with served(tmp_path / "temporary") as app:
        assert list(app.folder.glob("dermaseg-app-*"))
        app.stop()
        assert not list(app.folder.glob("dermaseg-app-*"))
        assert "Traceback" not in "".join(app.output)

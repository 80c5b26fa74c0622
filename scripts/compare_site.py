"""Compare a site that ``dermaseg site`` wrote with ``dermaseg predict``, photo by photo, in headless Chromium.

    python scripts/compare_site.py --site SITE --photos FOLDER [--count 200]

Prints the mean and the lowest Dice coefficient of the masks, and the largest differences of the measurements.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import shutil
import tempfile
import threading
import zipfile
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from dermaseg_monai.data import list_photos
from dermaseg_monai.inference.measurements import measure_lesion
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.transforms import read_mask

BATCH = 25
WAIT = 600_000  # ms
SHAPES = ("area_share", "asymmetry", "border_irregularity", "diameter_px")


class _Quiet(SimpleHTTPRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):  # a page that was left
            super().handle()

    def log_message(self, *arguments: Any) -> None:
        pass


def segmented(page: Page, photos: list[Path]) -> tuple[dict[str, np.ndarray], dict[str, dict[str, str]]]:
    """What the page makes of photos: masks, and rows of the table, by the photos' stems."""
    page.reload()
    page.wait_for_selector("body[data-ready]")
    page.locator("#files").set_input_files(photos)
    page.wait_for_selector("#status[data-state=done]")
    with page.expect_download() as download:
        page.get_by_role("button", name="Everything (zip)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("measurements.csv").decode())))
        masks = {
            row["id"]: np.asarray(Image.open(archive.open(f"{row['id']}_segmentation.png"))) > 0
            for row in rows
        }
    return masks, {row["id"]: row for row in rows}


def dice(one: np.ndarray, other: np.ndarray) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", required=True)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--bundle", default="lesion_mobilenetv2_unet")
    options = parser.parse_args()
    found = [Path(item["image"]) for item in list_photos(options.photos)]
    photos = random.Random(0).sample(found, min(options.count, len(found)))

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=options.site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    masks: dict[str, np.ndarray] = {}
    rows: dict[str, dict[str, str]] = {}
    with sync_playwright() as playwright:
        executable = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        for start in range(0, len(photos), BATCH):
            more = segmented(page, photos[start : start + BATCH])
            masks |= more[0]
            rows |= more[1]
        browser.close()

    with tempfile.TemporaryDirectory() as work:
        chosen = Path(work) / "photos"
        chosen.mkdir()
        for photo in photos:
            (chosen / photo.name).symlink_to(photo.resolve())
        # browsers compute in float32; what a processor computes in bfloat16 differs more than they do
        for title, overrides in (("float32", {"amp": False}), ("the bundle's own precision", {})):
            output = Path(work) / title
            predict(chosen, output, bundle=options.bundle, **overrides)
            print(f"predict in {title}:")
            compare({photo.stem: output / f"{photo.stem}_segmentation.png" for photo in photos}, masks, rows)


def compare(expected: dict[str, Path], masks: dict[str, np.ndarray], rows: dict[str, dict[str, str]]) -> None:
    """Print how masks and table of the page differ from the masks in files."""
    scores = []
    differences: dict[str, list[float]] = {name: [] for name in SHAPES}
    for stem, path in expected.items():
        mask = read_mask(path) > 0
        scores.append(dice(mask, masks[stem]))
        measured = measure_lesion(mask)
        for name in SHAPES:
            value, ours = getattr(measured, name), rows[stem][name]
            if value is not None and ours:
                differences[name].append(abs(float(ours) - value) / value if value else 0.0)
    print(f"  {len(scores)} photos: Dice mean {np.mean(scores):.5f}, lowest {min(scores):.5f}")
    for name, values in differences.items():
        within = np.mean(np.array(values) <= 0.02)
        print(
            f"  {name}: mean difference {np.mean(values):.3%}, largest {max(values):.2%}, within 2 %: {within:.1%}"
        )


if __name__ == "__main__":
    main()

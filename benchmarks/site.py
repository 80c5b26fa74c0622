"""A site that ``dermaseg site`` writes, in headless Chromium: how fast it answers, and whether as the package does.

    python benchmarks/site.py --photos FOLDER [--count 200] [--int8 FOLDER] [--webgpu] [--clicks lesion_mobile_sam]

Prints the folder's size; the seconds from a phantom of 12 megapixels to its results, for the first photo, which loads
the network, and for another; those of a photo's first click and of the next one; and on ``--count`` of the photos the
mean and the lowest Dice coefficient against the masks of ``dermaseg predict``, with the measurements' differences. All
of Chromium runs on one core where Linux can say so.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from dermaseg_monai.app.site import write_site
from dermaseg_monai.data import list_photos
from dermaseg_monai.datasets.phantoms import render_phantom
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.metrics.lesion_shape import measure_lesion
from dermaseg_monai.transforms import read_mask

BATCH = 25
WAIT = 600_000  # ms
SHAPES = ("area_share", "asymmetry", "border_irregularity", "diameter_px")
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")  # an adapter that every machine has


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as the how-to does; gives its address."""
    command = [
        sys.executable,
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield re.findall(r"http://\S+/", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait()


def write_phantom(path: Path) -> Path:
    """A photo of 12 megapixels."""
    image = Image.fromarray(render_phantom(0, (576, 768)).image)
    image.resize((4000, 3000), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def seconds(page: Page, act: str, *arguments: object) -> float:
    """How long the page takes from a file or a click to its results."""
    start = time.perf_counter()
    if act == "drop":
        page.locator("#files").set_input_files(*arguments)
    else:
        page.mouse.click(*arguments)
        page.wait_for_selector("#status[data-state=working]")
    page.wait_for_selector("#status[data-state=done]")
    return time.perf_counter() - start


def time_answers(page: Page, photo: Path, clicks: bool) -> None:
    """Print how long the page takes for a photo and for clicks on it."""
    for title in ("the first photo, with the network's loading", "once that is loaded"):
        print(f"12 megapixels, {title}: {seconds(page, 'drop', photo):.2f} s", flush=True)
        if title.startswith("the first"):
            page.get_by_role("button", name="Remove this photo").click()
    if not clicks:
        return
    page.get_by_role("button", name="Click: add").click()
    box = page.locator(".pane canvas").first.bounding_box()
    assert box is not None
    for title, share in (("the first click, with the networks' loading", 0.4), ("the next", 0.6)):
        position = (box["x"] + box["width"] * share, box["y"] + box["height"] * share)
        print(f"{title}: {seconds(page, 'click', *position):.2f} s", flush=True)


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
    parser.add_argument("--photos", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--bundle", default="lesion_mobilenetv2_unet")
    parser.add_argument("--int8", default=None)
    parser.add_argument("--webgpu", action="store_true")
    parser.add_argument("--clicks", default=None)
    options = parser.parse_args()
    candidates = [Path(item["image"]) for item in list_photos(options.photos)]
    photos = random.Random(0).sample(candidates, min(options.count, len(candidates)))

    masks: dict[str, np.ndarray] = {}
    rows: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as work:
        site = write_site(
            Path(work) / "site",
            options.bundle,
            int8=options.int8,
            webgpu=options.webgpu,
            clicks=options.clicks,
        )
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        print(f"the folder has {size / 1e6:.1f} MB", flush=True)
        with served(site) as url, one_core(), sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                args=[
                    "--no-sandbox",
                    "--disable-dev-shm-usage",
                    *(WEBGPU if options.webgpu else ["--disable-gpu"]),
                ],
            )
            page = browser.new_page()
            page.set_default_timeout(WAIT)
            page.goto(url)
            page.wait_for_selector("body[data-ready]")
            time_answers(page, write_phantom(Path(work) / "phantom.jpg"), options.clicks is not None)
            for start in range(0, len(photos), BATCH):
                more = segmented(page, photos[start : start + BATCH])
                masks |= more[0]
                rows |= more[1]
            browser.close()

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


@contextmanager
def one_core() -> Iterator[None]:
    """Processes that are started within run on one core, where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


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

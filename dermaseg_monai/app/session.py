"""What one visitor has dropped, and what came of it: in a folder that goes when they do."""

from __future__ import annotations

import csv
import io
import logging
import re
import secrets
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from dermaseg_monai.app.models import Model
from dermaseg_monai.errors import InputError, OutputError, find_input_error, refusal
from dermaseg_monai.files import atomic_path
from dermaseg_monai.measurements import Measurements, measure_lesion
from dermaseg_monai.reports.attributes import COLOURS
from dermaseg_monai.reports.overlay import LONGEST_SIDE, draw_overlay
from dermaseg_monai.transforms import open_photo, read_mask

logger = logging.getLogger(__name__)

MAX_PHOTOS = 50
"""Photos that one page holds."""

MAX_PIXELS = 64_000_000
"""Largest photo, in pixels: masks and maps are made at full size, and a home computer has to hold them."""


@dataclass(frozen=True)
class Result:
    """One photo's outcome; the files lie in one folder.

    Attributes:
        name: what the visitor called the file.
        stem: what its results are called.
        folder: where they are.
        size: (height, width) of the photo.
        bundle: which network outlined the lesion.
        measured: of the lesion.
        confidence: mean probability over the lesion; None where there is none.
        uncertainty: mean of the map over the lesion, 0 to 1; None where there is no map or no lesion.
        attributes: area share of each attribute; None where no attribute bundle was chosen.
    """

    name: str
    stem: str
    folder: Path
    size: tuple[int, int]
    bundle: str
    measured: Measurements
    confidence: float | None
    uncertainty: float | None
    attributes: dict[str, float] | None

    @property
    def outline(self) -> Path:
        """JPEG of the photo with the lesion's outline."""
        return self.folder / f"{self.stem}_outline.jpg"

    @property
    def mask(self) -> Path:
        """The lesion's mask, 0 and 255, at the photo's size."""
        return self.folder / f"{self.stem}_segmentation.png"

    @property
    def heat(self) -> Path | None:
        """Heat map of the uncertainty, where there is one."""
        path = self.folder / f"{self.stem}_uncertainty.png"
        return path if path.is_file() else None

    @property
    def structures(self) -> Path | None:
        """JPEG of the photo with the attributes' outlines, where they were asked for."""
        return None if self.attributes is None else self.folder / f"{self.stem}_attributes.jpg"


@dataclass
class Session:
    """One open page.

    Attributes:
        folder: takes the photos and all results.
        token: names the session in addresses; nobody can guess it.
        photos: name and file of each photo that was accepted.
        refused: name of each file that was not, and why.
        results: of the photos, in their order, as far as they are done.
        pixels_per_mm: the scale of the photos; None where it is unknown.
        closed: whether the page is gone, so that nothing may be left behind.
    """

    folder: Path
    token: str
    photos: list[tuple[str, Path]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    pixels_per_mm: float | None = None
    closed: bool = False
    _chosen: tuple[Model, Model | None] | None = None
    _runs: int = 0

    def admit(self, files: list[Path]) -> None:
        """Take over uploaded files: those that are photos, under names of their own; the others are deleted.

        Args:
            files: they are moved.
        """
        for file in files:
            if len(self.photos) >= MAX_PHOTOS:
                self.refused.append((file.name, f"a page takes {MAX_PHOTOS} photos; start again for more."))
                file.unlink(missing_ok=True)
                continue
            taken = {path.stem.lower() for _, path in self.photos}
            photo = self.folder / "photos" / (_free(safe_stem(file.name), taken) + _safe_suffix(file.name))
            photo.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, photo)
            try:
                open_photo(photo, reduce_to=LONGEST_SIDE, max_pixels=MAX_PIXELS)
            except InputError as error:
                photo.unlink()
                self.refused.append((file.name, str(error).removeprefix(f"{photo}: ")))
            else:
                self.photos.append((file.name, photo))

    def segment(self, lesion: Model, attributes: Model | None) -> Iterator[str]:
        """Segment the photos that have no result of these bundles yet.

        Args:
            lesion: the bundle that outlines the lesion.
            attributes: the bundle that finds dermoscopic attributes, if one is wanted.

        Yields:
            The name of the photo that comes next; its result is there after that.
        """
        if self._chosen != (lesion, attributes):
            self.results.clear()
            self._chosen = (lesion, attributes)
        self._runs += 1  # a run's own folder: a browser never shows an earlier network's picture
        output = self.folder / f"run{self._runs}"
        done = {result.stem for result in self.results}
        for name, photo in [entry for entry in self.photos if entry[1].stem not in done]:
            yield name
            try:
                self.results.append(_segmented(name, photo, output, lesion, attributes))
            except Exception as error:
                told = disk_fault(error) or find_input_error(error)
                if told is None:
                    logger.exception("%s could not be segmented", name)
                reason = str(told) if told else f"it could not be segmented ({type(error).__name__})."
                self.refused.append((name, reason.replace(f"{photo}: ", "")))
                self.photos = [entry for entry in self.photos if entry[1] != photo]
                photo.unlink(missing_ok=True)
                shutil.rmtree(output / photo.stem, ignore_errors=True)
            if self.closed:
                self.clear()
                return

    def table(self) -> str:
        """The measurements as CSV, a row for each photo; numbers with their full precision."""
        text = io.StringIO()
        writer = csv.writer(text)
        scale = self.pixels_per_mm
        writer.writerow(
            ["id", "photo", "bundle", "height", "width", "area_share", "asymmetry", "border_irregularity"]
            + ["diameter_px", "touches_edge", "confidence", "uncertainty"]
            + ["pixels_per_mm", "diameter_mm", "area_mm2"]
            + [f"{name}_share" for name in COLOURS]
        )
        for result in self.results:
            measured = result.measured
            in_mm = [scale, measured.diameter_mm(scale), measured.area_mm2(scale)] if scale else [None] * 3
            values = [measured.area_share, measured.asymmetry, measured.border_irregularity]
            values += [measured.diameter_px, measured.touches_edge, result.confidence, result.uncertainty]
            values += [*in_mm, *((result.attributes or {}).get(name) for name in COLOURS)]
            names = [_no_formula(text) for text in (result.stem, result.name, result.bundle)]
            writer.writerow([*names, *result.size, *map(_number, values)])
        return text.getvalue()

    def archive(self) -> Path:
        """Write all masks, maps, pictures and the table to a zip; returns its path."""
        with (
            atomic_path(self.folder / "masks.zip") as path,
            zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,
        ):
            for result in self.results:
                for file in sorted(result.folder.glob(f"{result.stem}_*")):
                    archive.write(file, file.name)
            archive.writestr("measurements.csv", self.table())
        return self.folder / "masks.zip"

    def clear(self) -> None:
        """Delete the photos and everything that came of them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for entries in (self.photos, self.refused, self.results):
            entries.clear()


class Sessions:
    """All open pages.

    Args:
        root: folder that takes theirs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, page: str) -> Session:
        """The session of a page, made at its first call.

        Args:
            page: what Gradio calls it.
        """
        with self._lock:
            if page not in self._open:
                token = secrets.token_urlsafe(16)
                self._open[page] = Session(self.root / token, token)
            return self._open[page]

    def by_token(self, token: str) -> Session | None:
        """The session of that token, if it is open."""
        with self._lock:
            return next((one for one in self._open.values() if one.token == token), None)

    def close(self, page: str) -> None:
        """Delete all that a page has left."""
        with self._lock:
            session = self._open.pop(page, None)
        if session is not None:
            session.closed = True
            session.clear()


def disk_fault(error: BaseException) -> str | None:
    """What a visitor is told of a disk that is full or refuses, without the server's paths; None of another error."""
    found, refused = find_input_error(error), refusal(error)
    if refused is None or not (found is None or isinstance(found, OutputError)):
        return None
    return f"the computer that runs this page cannot write ({refused.strerror}); make room there, then try again."


def safe_stem(name: str) -> str:
    """A file's name without its ending, fit for the names of its results on any system and in any table."""
    stem = re.sub(r"[^\w.-]+", "_", Path(name).stem)[:80].strip("._-")
    return stem or "photo"


def _safe_suffix(name: str) -> str:
    return re.sub(r"[^.A-Za-z0-9]", "", Path(name).suffix)[:8]


def _free(stem: str, taken: set[str]) -> str:
    if stem.lower() not in taken:
        return stem
    return next(
        f"{stem}-{count}" for count in range(2, MAX_PHOTOS + 2) if f"{stem}-{count}".lower() not in taken
    )


def _segmented(name: str, photo: Path, output: Path, lesion: Model, attributes: Model | None) -> Result:
    folder = output / photo.stem  # one photo's own: two names may begin alike
    row = lesion.segment(photo, folder).iloc[0]
    heat = lesion.segment_uncertainty(photo, folder)
    mask = read_mask(folder / f"{photo.stem}_segmentation.png")
    pixels = open_photo(photo, reduce_to=LONGEST_SIDE).pixels
    draw_overlay(pixels, mask, folder / f"{photo.stem}_outline.jpg")
    shares = None
    if attributes is not None:
        rows = attributes.segment(photo, folder)
        shares = dict(zip(rows["attribute"], rows["area_share"].astype(float), strict=True))
        masks = np.stack([read_mask(folder / f"{photo.stem}_attribute_{one}.png") for one in COLOURS])
        draw_overlay(pixels, masks, folder / f"{photo.stem}_attributes.jpg", COLOURS)
    unsure = None
    if heat is not None and mask.any():
        with Image.open(heat) as levels:
            unsure = float(np.asarray(levels)[mask > 0].mean() / 255)
    return Result(
        name=name,
        stem=photo.stem,
        folder=folder,
        size=(int(row["height"]), int(row["width"])),
        bundle=lesion.name,
        measured=measure_lesion(mask),
        confidence=float(row["confidence"]) if mask.any() else None,
        uncertainty=unsure,
        attributes=shares,
    )


def _no_formula(text: str) -> str:
    """A text that a spreadsheet does not run: one that begins like a formula gets an apostrophe before it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _number(value: float | bool | None) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return f"{value:.6g}"

"""The images on which a study's variants differ most, as every variant outlined them."""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.data import load_datalist, read_labels
from dermaseg_monai.datasets import ATTRIBUTES
from dermaseg_monai.image_files import read_mask, read_photo
from dermaseg_monai.studies.report.metrics import image_metric
from dermaseg_monai.studies.results import FinishedRun, StudyRuns
from dermaseg_monai.studies.statistics import Analysis
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import stem_of
from dermaseg_monai.visualize.colours import COLOURS, PREDICTION_COLOUR, TRUTH_COLOUR
from dermaseg_monai.visualize.overlay import outlined

IMAGES = 6
"""How many images are shown."""

_SIDE = 360  # pixels of a tile's long side
_OUTLINES = {"truth": TRUTH_COLOUR, "prediction": PREDICTION_COLOUR}


@dataclass(frozen=True)
class Tile:
    """One picture of a panel.

    Attributes:
        title: name of the variant, or "ground truth".
        score: of the run that is shown, on this image; None for the ground truth.
        jpeg: the picture.
    """

    title: str
    score: float | None
    jpeg: bytes


@dataclass(frozen=True)
class Panel:
    """One image as every variant saw it.

    Attributes:
        image: its id.
        spread: the best variant's score less the worst's, both averaged over seeds.
        tiles: the ground truth, then the variants.
    """

    image: str
    spread: float
    tiles: list[Tile]


def panels(study: StudyRuns, analysis: Analysis, dataset_dir: str | os.PathLike[str]) -> list[Panel]:
    """Draw the images on which the variants differ most.

    The masks are those that the evaluation of each variant's first finished run saved; where it saved none,
    the run's weights segment these images again.

    Args:
        study: what was collected.
        analysis: its tables.
        dataset_dir: the prepared folder that the runs were scored on.

    Returns:
        A panel per image, the largest difference first.

    Raises:
        InputError: the folder does not have these images, or a run has neither masks nor weights.
    """
    table = analysis.images.pivot(index="id", columns="variant", values=image_metric(study))
    spread = (table.max(axis=1) - table.min(axis=1)).sort_values(ascending=False, kind="stable")[:IMAGES]
    items = _items(study, list(spread.index), dataset_dir)
    shown = {variant.title: study.of(variant.name)[0] for variant in study.scored()}
    with tempfile.TemporaryDirectory() as scratch:
        folders = {
            title: _masks(run, items, study.task, Path(scratch) / run.variant) for title, run in shown.items()
        }
        drawn = []
        for item in items:
            photo = read_photo(item["image"])
            tiles = [Tile("ground truth", None, _tile(photo, read_labels(item), None, study.task))]
            for title, run in shown.items():
                saved = _saved(folders[title], item, study.task)
                jpeg = _tile(photo, read_labels(item), saved, study.task)
                tiles.append(Tile(title, _score(run, item["id"], study), jpeg))
            drawn.append(Panel(item["id"], float(spread[item["id"]]), tiles))
    return drawn


def legend(task: str) -> dict[str, str]:
    """The colours of the outlines by what they mean."""
    return {
        name.replace("_", " "): colour
        for name, colour in (COLOURS if task == "attribute" else _OUTLINES).items()
    }


def _items(study: StudyRuns, ids: list[str], dataset_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    known = {item["id"]: item for item in load_datalist(dataset_dir, study.section, study.task)}
    lacking = [name for name in ids if name not in known]
    if lacking:
        raise InputError(
            f"{dataset_dir} has no {study.section} image {lacking[0]}, which the study was scored on; give the folder "
            "that its runs used as --dataset_dir."
        )
    return [known[name] for name in ids]


def _masks(run: FinishedRun, items: list[dict[str, Any]], task: str, scratch: Path) -> Path:
    """The folder with the masks of these images."""
    folder = run.folder / "evaluation" / "masks"
    if not all(path.is_file() for item in items for path in _paths(folder, item, task)):
        folder = scratch
        photos = [{"id": item["id"], "image": item["image"]} for item in items]
        overrides: dict[str, Any] = {"dataset#data": photos}
        BundleFolder(run.folder).run(folder, **overrides)
    return folder


def _paths(folder: Path, item: dict[str, Any], task: str) -> list[Path]:
    stem = stem_of(item["image"])
    if task == "attribute":
        return [folder / f"{stem}_attribute_{name}.png" for name in ATTRIBUTES]
    return [folder / f"{stem}_segmentation.png"]


def _saved(folder: Path, item: dict[str, Any], task: str) -> np.ndarray:
    return np.stack([read_mask(path) for path in _paths(folder, item, task)])


def _tile(photo: np.ndarray, truth: np.ndarray, saved: np.ndarray | None, task: str) -> bytes:
    """A lesion with both outlines; attributes either as they are or as they were found."""
    if task == "attribute":
        masks, colours = truth if saved is None else saved, list(COLOURS.values())
    else:
        masks = truth if saved is None else np.concatenate([truth, saved])
        colours = list(_OUTLINES.values())[: len(masks)]
    image = Image.fromarray(photo)
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    outlined(image, masks, colours, width=2).save(stream, format="JPEG", quality=85)
    return stream.getvalue()


def _score(run: FinishedRun, image: str, study: StudyRuns) -> float:
    rows = run.scores[run.scores["id"] == image]
    if study.task == "lesion":
        return float(rows[image_metric(study)].iloc[0])
    union = rows[["tp", "fp", "fn"]].sum().sum()
    return float(rows["tp"].sum() / union) if union else 1.0

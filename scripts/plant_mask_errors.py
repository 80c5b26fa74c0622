"""Plant errors among given masks, and print how many of them an audit puts before its reader.

    python scripts/plant_mask_errors.py DATA --bundle lesion_mobilenetv2_unet
    python scripts/plant_mask_errors.py FOLDS --runs runs/folds/cross_validation_lesion_mobilenetv2_unet

DATA and FOLDS are folders that ``dermaseg prepare`` wrote; predictions are those of ``dermaseg audit`` with the same
arguments. In each of 20 seeds 5 % of the masks are spoilt, a third each shifted by 0.3 of the square root of the mask's
area in a random direction, dilated by 0.15 of it, and swapped for another photo's mask. The table has the share of them
among the first 5, 10 and 20 % of all photos, mean and standard deviation over seeds: in the audit's order, and in the
order of the Dice of given and predicted mask alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import fire
import numpy as np
from PIL import Image
from scipy import ndimage

from dermaseg_monai.inference.audit import mask_dice, suspicion, visit_predictions

SEEDS = range(1000, 1020)
SPOILT = 0.05
"""Share of the masks that are spoilt."""

REVIEWED = (0.05, 0.1, 0.2)
"""Shares of the photos that are reviewed."""

SHIFT, DILATION = 0.3, 0.15
"""Amounts of two errors, as shares of the square root of the mask's area."""


@dataclass
class Photo:
    """A photo's prediction and its given mask."""

    probability: np.ndarray
    given: np.ndarray


def main(
    dataset_dir: str,
    bundle: str | None = None,
    runs: str | None = None,
    masks: str | None = None,
    section: str = "validation",
) -> None:
    """Print the table.

    Args:
        dataset_dir: folder that ``dermaseg prepare`` wrote.
        bundle: as of ``dermaseg audit``.
        runs: as of ``dermaseg audit``.
        masks: as of ``dermaseg audit``.
        section: as of ``dermaseg audit``.
    """
    photos: list[Photo] = []

    def look(_: str, probability: np.ndarray, given: np.ndarray) -> None:
        photos.append(Photo(probability.astype(np.float16), given))

    visit_predictions(dataset_dir, look, bundle, runs, masks, section)
    rankings: dict[str, Callable[[Photo, np.ndarray], float]] = {
        "by suspicion": lambda photo, given: suspicion(photo.probability, given),
        "by Dice alone": lambda photo, given: 1 - mask_dice(photo.probability >= 0.5, given),
    }
    print(
        "| found among the photos reviewed | "
        + " | ".join(f"{100 * share:.0f} % reviewed" for share in REVIEWED)
        + " |"
    )
    print("|---|" + "---|" * len(REVIEWED))
    for name, score in rankings.items():
        for row in found_rows(photos, name, score):
            print(row)


def found_rows(photos: list[Photo], name: str, score: Callable[[Photo, np.ndarray], float]) -> list[str]:
    """The table's rows of one ranking: all errors, then each kind."""
    as_given = np.array([score(photo, photo.given) for photo in photos])
    reviewed = np.array([share * len(photos) for share in REVIEWED])
    found: dict[str, list[np.ndarray]] = {row: [] for row in (f"{name}: all", *ERRORS)}
    for seed in SEEDS:
        generator = np.random.default_rng(seed)
        chosen = generator.permutation(len(photos))[: round(SPOILT * len(photos))]
        thirds = dict(zip(ERRORS, np.array_split(chosen, len(ERRORS)), strict=True))
        scores = as_given.copy()
        for kind, indices in thirds.items():
            for index in indices:
                scores[index] = score(photos[index], ERRORS[kind](photos, index, generator))
        place = np.empty(len(photos), dtype=int)
        place[np.argsort(-scores, kind="stable")] = np.arange(len(photos))
        for row, indices in zip(found, (chosen, *thirds.values()), strict=True):
            found[row].append((place[indices, None] < reviewed).mean(axis=0))
    return [_row(row, np.array(shares)) for row, shares in found.items()]


def _row(head: str, shares: np.ndarray) -> str:
    cells = zip(shares.mean(axis=0), shares.std(axis=0, ddof=1), strict=True)
    return f"| {head} | " + " | ".join(f"{mean:.2f} ± {spread:.2f}" for mean, spread in cells) + " |"


def _shifted(photos: list[Photo], index: int, generator: np.random.Generator) -> np.ndarray:
    given = photos[index].given
    angle = generator.uniform(0, 2 * np.pi)
    distance = SHIFT * np.sqrt(given.sum())
    return ndimage.shift(
        given.astype(np.uint8), (distance * np.sin(angle), distance * np.cos(angle)), order=0
    ).astype(bool)


def _dilated(photos: list[Photo], index: int, generator: np.random.Generator) -> np.ndarray:
    given = photos[index].given
    return ndimage.distance_transform_edt(~given) <= DILATION * np.sqrt(given.sum())


def _swapped(photos: list[Photo], index: int, generator: np.random.Generator) -> np.ndarray:
    other = (index + generator.integers(1, len(photos))) % len(photos)
    height, width = photos[index].given.shape
    return np.asarray(Image.fromarray(photos[other].given).resize((width, height), Image.Resampling.NEAREST))


ERRORS: dict[str, Callable[[list[Photo], int, np.random.Generator], np.ndarray]] = {
    "shifted": _shifted,
    "dilated": _dilated,
    "swapped": _swapped,
}


if __name__ == "__main__":
    fire.Fire(main)

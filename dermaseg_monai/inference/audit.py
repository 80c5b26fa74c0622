"""Ranking of given masks by how much a prediction disagrees with them beyond its own doubt."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image

from dermaseg_monai.bundle.calibration import stored_calibration
from dermaseg_monai.bundle.folder import fold_bundles
from dermaseg_monai.data import load_datalist
from dermaseg_monai.data.datalist import filled_sections
from dermaseg_monai.data.saved_masks import find_masks
from dermaseg_monai.image_files import read_levels, read_mask, read_photo
from dermaseg_monai.inference.probabilities import PhotoProbabilities
from dermaseg_monai.transforms import tempered
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_jpeg, write_text
from dermaseg_monai.utils.templates import page_template
from dermaseg_monai.visualize.overlay import outlined
from dermaseg_monai.visualize.panels import PREDICTION_COLOUR, TRUTH_COLOUR

logger = logging.getLogger(__name__)

_SIDE = 640  # longest side of the gallery's pictures
_LEAST_DOUBT = 0.01


def audit(
    dataset_dir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    bundle: str | os.PathLike[str] | None = None,
    runs: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
    section: str = "validation",
    count: int = 100,
    **overrides: Any,
) -> pd.DataFrame:
    """Rank the given masks of photos by how likely they are wrong or of another style.

    Predictions are those of a bundle that was not trained on the photos, of a cross-validation, whose folds each
    predict the photos that they have not seen, or of a folder. Writes into ``output``: ``audit.csv``, ``index.html``, a
    gallery of the most suspicious with buttons that save ``decisions.csv`` for ``prepare --audit``, and ``pictures/``.

    Args:
        dataset_dir: folder that ``prepare`` wrote, with lesion masks.
        output: folder for the audit.
        bundle: name in the catalogue, or a bundle's folder; it predicts the photos of ``section``.
        runs: or the folder of a cross-validation, such as ``runs/ablations/cross_validation_lesion_unet``. The photos
            of all sections are predicted: each training photo by the fold that was trained without it, those of the
            other sections, from which no fold learnt, by the folds in turn, so that all photos are judged alike.
        masks: or a folder of predicted masks or grey probabilities (255 where lesion is certain) of the photos of
            ``section``, named as :func:`dermaseg_monai.data.saved_masks.find_masks` takes them.
        section: "training", "validation" or "test", for ``bundle`` and ``masks``.
        count: how many the gallery shows.
        **overrides: ids of the bundle's inference.json, such as ``device``.

    Returns:
        The rows of ``audit.csv``, most suspicious first: ``rank``, ``id``, ``suspicion`` (see :func:`suspicion`),
        ``dice`` of given and predicted mask, and their ``given_share`` and ``predicted_share`` of the photo.

    Raises:
        InputError: not exactly one kind of prediction is given, it has nothing to predict with, or a photo of a folder
            has no prediction.
    """
    gallery = _Gallery(Path(output))
    items = visit_predictions(dataset_dir, gallery.add, bundle, runs, masks, section, **overrides)
    return gallery.written({item["id"]: item for item in items}, count)


def visit_predictions(
    dataset_dir: str | os.PathLike[str],
    look: Callable[[str, np.ndarray, np.ndarray], None],
    bundle: str | os.PathLike[str] | None = None,
    runs: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
    section: str = "validation",
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Show each photo's prediction, by a network that has not seen it, beside its given mask.

    Args:
        dataset_dir: folder that ``prepare`` wrote, with lesion masks.
        look: called with a photo's id, its probabilities, float32 ``(H, W)``, 0 to 1, after the bundle's temperature,
            and its given mask, bool ``(H, W)``.
        bundle: as of :func:`audit`.
        runs: as of :func:`audit`.
        masks: as of :func:`audit`.
        section: as of :func:`audit`.
        **overrides: ids of the bundle's inference.json, such as ``device``.

    Returns:
        The photos shown, items of :func:`dermaseg_monai.data.load_datalist`.

    Raises:
        InputError: as of :func:`audit`.
    """
    if sum(source is not None for source in (bundle, runs, masks)) != 1:
        raise InputError("give the predictions by one of --bundle, --runs and --masks.")
    items: list[dict[str, Any]] = []
    if masks is not None:
        items = load_datalist(dataset_dir, section)
        files = find_masks(masks, items, section)
        for item in items:
            given = read_mask(item["label"]) > 0
            (path,) = files[item["id"]]
            look(item["id"], _read_probability(path, given.shape), given)
    for name, own_items in _predicted(dataset_dir, bundle, runs, section):
        items += own_items
        predictor = PhotoProbabilities(name, **overrides)
        temperature = stored_calibration(predictor.ckpt_dir).temperature

        def show(item: Mapping[str, Any], temperature: Sequence[float] = temperature) -> None:
            probability = tempered(item["pred"], temperature)[0].numpy()
            look(item["id"], probability, item["label"][0].numpy() > 0)

        predictor.visit(own_items, show)
    return items


def suspicion(probability: np.ndarray, given: np.ndarray) -> float:
    """How much a given mask disagrees with a prediction, as a multiple of what the prediction expects of itself.

    The disagreement is 1 - soft Dice of the probabilities and the mask. Were the mask drawn from the probabilities,
    it would be near 1 - soft Dice of the probabilities with themselves; 0.01 is added to that, which a network that
    is never in doubt would take for 0. So a blurred border that the network is unsure of excuses a difference there,
    and a difference where the network is sure stands out, even if it is small.

    Args:
        probability: of the lesion, float ``(H, W)``, 0 to 1.
        given: bool ``(H, W)``.

    Returns:
        At least 0; about 1 where given mask and prediction agree as well as can be expected.

    Reference: after Northcutt et al., "Confident Learning", JAIR 2021, https://arxiv.org/abs/1911.00068, which ranks
        labels by a network's out-of-sample probabilities.
    """
    total = float(probability.sum(dtype=np.float64))
    lesion = int(given.sum())
    disagreement = 1 - 2 * float(probability[given].sum(dtype=np.float64)) / max(total + lesion, 1e-9)
    doubt = 1 - float(np.square(probability, dtype=np.float64).sum()) / max(total, 1e-9)
    return disagreement / (doubt + _LEAST_DOUBT)


def mask_dice(predicted: np.ndarray, given: np.ndarray) -> float:
    """Dice of two masks, bool ``(H, W)``; 1 where both are empty."""
    together = int(given.sum()) + int(predicted.sum())
    return 2 * int((given & predicted).sum()) / together if together else 1.0


def _predicted(
    dataset_dir: str | os.PathLike[str],
    bundle: str | os.PathLike[str] | None,
    runs: str | os.PathLike[str] | None,
    section: str,
) -> list[tuple[str | os.PathLike[str], list[dict[str, Any]]]]:
    """Bundles, each with photos that it was not trained on."""
    if bundle is not None:
        return [(bundle, load_datalist(dataset_dir, section))]
    if runs is None:
        return []
    # one training of each fold, the first
    folds = {int(run.parent.name.removeprefix("fold_")): run for run in reversed(fold_bundles(runs))}
    if not folds:
        raise InputError(f"{runs} holds no trained folds; run dermaseg study run cross_validation first.")
    others = [
        item
        for section in filled_sections(dataset_dir)
        if section != "training"
        for item in load_datalist(dataset_dir, section)
    ]
    return [
        (run, load_datalist(dataset_dir, "fold", fold=fold) + others[turn :: len(folds)])
        for turn, (fold, run) in enumerate(sorted(folds.items()))
    ]


def _read_probability(path: Path, size: tuple[int, ...]) -> np.ndarray:
    levels = read_levels(path)
    if levels.shape != size:
        raise InputError(
            f"{path} has {levels.shape[1]} x {levels.shape[0]} pixels, but the given mask has {size[1]} x {size[0]}; "
            "bring it to that size."
        )
    return levels


class _Gallery:
    """The photos looked at, and the page of the most suspicious."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.rows: list[dict[str, Any]] = []
        self.masks: dict[str, np.ndarray] = {}

    def add(self, name: str, probability: np.ndarray, given: np.ndarray) -> None:
        predicted = probability >= 0.5
        self.masks[name] = np.packbits(predicted)
        self.rows.append(
            {
                "id": name,
                "suspicion": suspicion(probability, given),
                "dice": mask_dice(predicted, given),
                "given_share": float(given.mean()),
                "predicted_share": float(predicted.mean()),
            }
        )

    def written(self, items: Mapping[str, Mapping[str, Any]], count: int) -> pd.DataFrame:
        table = pd.DataFrame(self.rows).sort_values(
            ["suspicion", "id"], ascending=[False, True], ignore_index=True
        )
        table.insert(0, "rank", range(1, len(table) + 1))
        write_text(self.output / "audit.csv", table.to_csv(index=False, float_format="%.4f"))
        cards = []
        for row in table.head(count).to_dict("records"):
            item = items[row["id"]]
            picture = self.output / "pictures" / f"{row['id']}.jpg"
            self._draw(item, picture)
            photo = os.path.relpath(item["image"], self.output)
            cards.append({**row, "picture": f"pictures/{quote(picture.name)}", "photo": quote(photo)})
        source = resources.files("dermaseg_monai.inference") / "templates" / "audit.html.j2"
        page = page_template(source.read_text(encoding="utf-8")).render(
            cards=cards,
            total=len(table),
            given=TRUTH_COLOUR,
            predicted=PREDICTION_COLOUR,
            ids=json.dumps([card["id"] for card in cards]).replace("<", "\\u003c"),
        )
        write_text(self.output / "index.html", page)
        logger.info("%d masks ranked, %d of them in %s", len(table), len(cards), self.output / "index.html")
        return table

    def _draw(self, item: Mapping[str, Any], path: Path) -> None:
        given = read_mask(item["label"])
        predicted = np.unpackbits(self.masks[item["id"]], count=given.size).reshape(given.shape)
        canvas = Image.fromarray(read_photo(item["image"], reduce_to=_SIDE))
        canvas.thumbnail((_SIDE, _SIDE))
        write_jpeg(
            path,
            outlined(canvas, np.stack([given, predicted]), [TRUTH_COLOUR, PREDICTION_COLOUR], width=2),
            quality=88,
        )

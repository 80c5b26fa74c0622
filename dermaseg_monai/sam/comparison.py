"""Scores over kinds and sources of prompts, the oracle's always labelled and beside the predicted ones."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from dermaseg_monai.engines.malloc import keep_freed_memory
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.metrics import METRICS, confusion_counts
from dermaseg_monai.sam.cache import EmbeddingCache
from dermaseg_monai.sam.from_mask import box_of_mask, prompt_from_mask
from dermaseg_monai.sam.prompt import KINDS, Point, Prompt
from dermaseg_monai.sam.session import PromptSession
from dermaseg_monai.sam.simulated_clicks import click_through, clicks_needed
from dermaseg_monai.sam.sources import PromptSource, predicted_mask
from dermaseg_monai.utils.errors import InputError, OutputError, find_input_error
from dermaseg_monai.utils.files import atomic_path, write_text
from dermaseg_monai.utils.precision import exact_float32
from dermaseg_monai.visualize.prompts import plot_jitter_curve

logger = logging.getLogger(__name__)

SCORES = ("dice", "jaccard", "threshold_jaccard")
"""The metrics of the tables."""

JITTERS = (0.0, 0.05, 0.1, 0.2)
"""Shifts of the oracle's box, as shares of its sides."""

TARGETS = (0.85, 0.9)
"""Intersections over union that clicks are counted up to."""

ORACLE = "oracle (ground truth)"
"""How the tables call prompts that the ground truth gave away."""

_CLICKS = "clicks_{}"


class Setting(NamedTuple):
    """One row of the table.

    Attributes:
        kind: of the prompt, "clicks_<number>", "none" for the prediction itself, or "as written" for a person's.
        source: :data:`ORACLE`, "predicted" or "file".
        jitter: largest shift of the box's sides, as a share.
    """

    kind: str
    source: str
    jitter: float


class PromptComparison:
    """Evaluates one promptable network by every kind and source of prompts, on embeddings computed once.

    Every kind is scored with prompts from the ground truth, the oracle, and from a prediction; boxes of the oracle
    also with jitter, the same shifts for each photo at every share but longer. The prediction itself ("none") and the
    prediction refined, its box and mask being the prompt ("box_and_mask"), stand beside them. Clicks are the
    oracle's: the first in the middle of the lesion, each further one in the largest error of the mask before it.
    Writes into ``output_dir``:

    - ``prompt_scores.csv``: a row per photo and setting;
    - ``prompt_table.csv`` and ``prompt_table.txt``: means over the photos, a row per setting; with clicks, the text
      also has how many of them bring a photo to an intersection over union of 0.85 and 0.90 (NoC);
    - ``box_jitter.png``: how the scores fall as the oracle's box is jittered.

    Args:
        cache: the network, its preprocessing and its embeddings.
        data: items ``{"id", "image": path, "label": path}``.
        output_dir: folder for tables and curve.
        predictor: gives the mask (H, W) of a photo's path that the predicted prompts come from.
        kinds: which kinds to compare.
        points: positive points, where points are asked for.
        negative_points: negative points, where points are asked for.
        jitters: shares by which the oracle's box is jittered, 0 to 0.4.
        seed: start of all randomness.
        threshold: a pixel is lesion from this probability on.
        prompts_file: a person's ``prompts.json``, for a further row.
        clicks: how many clicks are simulated on each photo.

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        cache: EmbeddingCache,
        data: Sequence[dict[str, Any]],
        output_dir: str | os.PathLike[str],
        predictor: Callable[[str], np.ndarray],
        kinds: Sequence[str] = KINDS,
        points: int = 1,
        negative_points: int = 0,
        jitters: Sequence[float] = JITTERS,
        seed: int = 0,
        threshold: float = 0.5,
        prompts_file: str | os.PathLike[str] | None = None,
        clicks: int = 0,
    ) -> None:
        if not 0 < threshold < 1:
            raise InputError(f"the threshold is {threshold}, but it must lie between 0 and 1.")
        for kind, jitter in itertools.product(kinds, (0.0, *jitters)):
            PromptSource("oracle", kind, points, negative_points, jitter)  # refuses what is out of range
        self.cache = cache
        self.data = list(data)
        self.output_dir = Path(output_dir)
        self.predictor = predictor
        self.points = points
        self.negative_points = negative_points
        self.seed = seed
        self.threshold = threshold
        self.clicks = clicks
        self.session = PromptSession(cache.network, cache.preprocess, 1, threshold, cache=cache)
        self.person = PromptSource("file", prompts_file=prompts_file) if prompts_file is not None else None
        self.settings = [Setting(kind, source, 0.0) for kind in kinds for source in (ORACLE, "predicted")]
        # a curve needs its beginning, whether or not boxes are among the kinds
        self.settings += [
            setting
            for share in sorted({0.0, *jitters})
            if (setting := Setting("box", ORACLE, share)) not in self.settings
        ]

    @exact_float32()
    def run(self) -> pd.DataFrame:
        """Evaluate.

        Returns:
            The table: ``kind``, ``source``, ``jitter``, ``images``, and the mean of each of :data:`SCORES`.

        Raises:
            InputError: no photo at all could be evaluated, or an embedding not be written.
        """
        keep_freed_memory()  # tens of megabytes pass through the decoder for each mask
        rows: list[dict[str, Any]] = []
        failures: list[InputError] = []
        for item in tqdm(self.data, desc="prompts", unit="photo", disable=None):
            try:
                rows += self._scored(item)
            except Exception as error:
                failure = find_input_error(error)
                if failure is None or isinstance(failure, OutputError):
                    raise
                logger.warning("left out: %s", failure)
                failures.append(failure)
        if not rows:
            reason = f"; the first: {failures[0]}" if failures else "."
            raise InputError(f"none of the {len(self.data)} photos could be evaluated{reason}")
        scores = pd.DataFrame(rows)
        order = ["kind", "source", "jitter"]
        groups = scores.groupby(order, sort=False)
        table = groups[list(SCORES)].mean().reset_index()
        table.insert(3, "images", groups.size().to_numpy())
        for name, frame in (("prompt_scores.csv", scores), ("prompt_table.csv", table)):
            with atomic_path(self.output_dir / name) as temporary:
                frame.to_csv(temporary, index=False, float_format="%.6f")
        text = format_table(table)
        if self.clicks:
            text += "\n\n" + _format_clicks(scores, self.clicks)
        write_text(self.output_dir / "prompt_table.txt", text + "\n")
        plot_jitter_curve(table, self.output_dir / "box_jitter.png")
        logger.info("%s\nrows and curve in %s", text, self.output_dir)
        return table

    def _scored(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        truth = read_mask(item["label"])
        predicted = predicted_mask(self.predictor, item["image"], truth)
        size = (truth.shape[0], truth.shape[1])
        masks = {ORACLE: truth, "predicted": predicted}
        asked = [
            (
                setting,
                [
                    prompt_from_mask(
                        masks[setting.source],
                        setting.kind,
                        self.points,
                        self.negative_points,
                        setting.jitter,
                        self.seed,
                        item["id"],
                    )
                ],
            )
            for setting in self.settings
        ]
        if self.person is not None:
            asked.append((Setting("as written", "file", 0.0), self.person(item, item["image"], size)))
        target = torch.from_numpy(truth)[None, None]
        masks_of = dict(
            zip(
                (setting for setting, _ in asked),
                self._segmented(item["image"], size, [prompts for _, prompts in asked]),
                strict=True,
            )
        )
        masks_of |= {
            setting: torch.from_numpy(mask)[None]
            for setting, mask in self._refined(item["image"], truth, predicted).items()
        }
        rows = []
        for setting, mask in masks_of.items():
            counts = confusion_counts(mask[None], target)[0, 0]
            scores = {name: float(METRICS[name](counts)) for name in SCORES}
            rows.append({"id": item["id"], **setting._asdict(), **scores})
        return rows

    def _refined(self, photo: str, truth: np.ndarray, predicted: np.ndarray) -> dict[Setting, np.ndarray]:
        """The prediction itself, the prediction refined, and what clicks make of the photo: masks (H, W)."""
        masks = {Setting("none", "predicted", 0.0): predicted}
        box = box_of_mask(predicted)
        refined = predicted if box is None else self.session.refine(photo, box=box, mask=predicted)
        masks[Setting("box_and_mask", "predicted", 0.0)] = refined

        def answer(points: Sequence[Point], labels: Sequence[int], mask: np.ndarray | None) -> np.ndarray:
            return self.session.refine(photo, points, labels, mask=mask)

        for number, mask in enumerate(click_through(answer, truth, self.clicks), start=1):
            masks[Setting(_CLICKS.format(number), ORACLE, 0.0)] = mask
        return masks

    @torch.no_grad()
    def _segmented(
        self, photo: str, size: tuple[int, int], prompts: list[list[Prompt]]
    ) -> list[torch.Tensor]:
        """Masks (1, H, W) of one photo, one for each list of prompts."""
        network, geometry = self.cache.network.eval(), self.cache.preprocess.geometry(size)
        device = next(network.parameters()).device
        embedding = self.cache.get(photo).to(device).float()
        moved = [[prompt.to_input(geometry) for prompt in together] for together in prompts]
        logits = network.decode(embedding.expand(len(moved), -1, -1, -1), moved)
        probabilities = (self.cache.preprocess.at_photo(one, size) for one in logits)
        return [(probability >= self.threshold).to(torch.uint8) for probability in probabilities]


def format_table(table: pd.DataFrame) -> str:
    """The table of a comparison as text, with the oracle's rows labelled and each beside its predicted ones.

    Args:
        table: what :meth:`PromptComparison.run` gives.

    Returns:
        Aligned columns, a line per setting.
    """
    shown = pd.DataFrame(
        {
            "prompt": table["kind"].str.replace("_", " ").str.replace("and", "+"),
            "source": table["source"],
            "box jitter": [f"{share:.0%}" for share in table["jitter"]],
            "images": table["images"],
            "Dice": table["dice"].map("{:.4f}".format),
            "Jaccard": table["jaccard"].map("{:.4f}".format),
            "threshold Jaccard": table["threshold_jaccard"].map("{:.4f}".format),
        }
    )
    return shown.to_string(index=False)


def _format_clicks(scores: pd.DataFrame, clicks: int) -> str:
    """A line for each target: how many clicks it takes on average, and where that many are not enough."""
    names = [_CLICKS.format(number) for number in range(1, clicks + 1)]
    after = scores[scores["kind"].isin(names)].pivot_table(
        index="id", columns="kind", values="jaccard", aggfunc="first"
    )
    table = after[names].to_numpy()
    return "\n".join(
        f"NoC@{target * 100:.0f} {clicks_needed(table, target).mean():.2f} clicks of at most {clicks}; "
        f"{(table.max(axis=1) < target).mean():.1%} of the photos do not reach it"
        for target in TARGETS
    )

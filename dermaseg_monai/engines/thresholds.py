"""Thresholds of the attributes: fitted on validation, stored beside the weights, used from then on."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.distributed import gather_objects, rank
from dermaseg_monai.errors import InputError
from dermaseg_monai.files import write_text
from dermaseg_monai.metrics.thresholds import (
    THRESHOLDS,
    best_thresholds,
    counts_at_thresholds,
    probability_histogram,
)

logger = logging.getLogger(__name__)

_NAME = "thresholds.json"


def stored_thresholds(
    ckpt_dir: str | os.PathLike[str], attributes: Sequence[str], default: float = 0.5
) -> float | list[float]:
    """The thresholds that were fitted for the weights in ``ckpt_dir``.

    Args:
        ckpt_dir: folder of ``model.pt`` and, where they were fitted, ``thresholds.json``.
        attributes: names of the channels, in their order.
        default: the threshold of all channels where none were fitted.

    Returns:
        A threshold per channel, or ``default``.

    Raises:
        InputError: the file is damaged or is about other attributes.
    """
    path = Path(ckpt_dir) / _NAME
    if not path.is_file():
        return default
    try:
        fitted = json.loads(path.read_text(encoding="utf-8"))["thresholds"]
        return [float(fitted[name]) for name in attributes]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not hold a threshold for each of {', '.join(attributes)}; fit them again or delete it."
        ) from error


class ForgetThresholds:
    """Ignite handler that removes the thresholds of earlier weights once a training starts to replace those.

    Args:
        ckpt_dir: folder of ``model.pt`` and ``thresholds.json``.
    """

    def __init__(self, ckpt_dir: str | os.PathLike[str]) -> None:
        self.path = Path(ckpt_dir) / _NAME

    def attach(self, engine: Any) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Any) -> None:
        """Remove the file."""
        if rank() == 0:
            self.path.unlink(missing_ok=True)


class CountProbabilitiesd(MapTransform):
    """Replace probabilities by their counts, see :func:`dermaseg_monai.metrics.probability_histogram`.

    Args:
        keys: probabilities (C, H, W); they become (2, C, bins).
        label: key of the masks (C, H, W); it is removed.
        allow_missing_keys: skip absent keys.
    """

    def __init__(
        self, keys: KeysCollection = "pred", label: str = "label", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label = label

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            items[key] = probability_histogram(items[key], items[self.label])
        items.pop(self.label)
        return items


class FitThresholds:
    """Ignite handler that writes ``<ckpt_dir>/thresholds.json`` once all images have been counted.

    Beside the threshold of each attribute it holds the official Jaccard there and at 0.5, on the images that
    were counted.

    Args:
        ckpt_dir: folder of the weights.
        attributes: names of the channels.
        objective: "macro" or "micro", see :func:`dermaseg_monai.metrics.best_thresholds`.
        section: of the dataset, to be named in the file.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike[str],
        attributes: Sequence[str],
        objective: str = "macro",
        section: str = "validation",
    ) -> None:
        self.path = Path(ckpt_dir) / _NAME
        self.attributes = list(attributes)
        self.objective = objective
        self.section = section
        self.images = 0
        self.total: torch.Tensor = torch.zeros(())

    def attach(self, engine: Any) -> None:
        """Register with a :class:`dermaseg_monai.engines.PhotoEvaluator`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Any) -> None:
        self.images, self.total = 0, torch.zeros((2, len(self.attributes), THRESHOLDS + 1)).double()

    def _collect(self, engine: Any) -> None:
        for item in engine.state.batch:
            self.images += 1
            self.total += item["pred"]

    def _write(self, engine: Any) -> None:
        total = sum(gather_objects([self.total]))
        images = sum(gather_objects([self.images]))
        if rank() != 0:
            return
        fitted = best_thresholds(total, self.objective)
        counts = counts_at_thresholds(total)
        result: dict[str, Any] = {
            "section": self.section,
            "images": images,
            "objective": self.objective,
            "thresholds": dict(zip(self.attributes, fitted, strict=True)),
        }
        for name, thresholds in (("fitted", fitted), ("at_half", [0.5] * len(fitted))):
            places = [round(threshold * THRESHOLDS) for threshold in thresholds]
            tp, fp, fn = counts[places, range(len(places))].unbind(-1)
            jaccard = torch.where(tp + fp + fn > 0, tp / (tp + fp + fn), 1.0)
            result[f"jaccard_{name}"] = {
                **{
                    key: round(value, 6) for key, value in zip(self.attributes, jaccard.tolist(), strict=True)
                },
                "macro": round(float(jaccard.mean()), 6),
                "micro": round(float(tp.sum() / (tp + fp + fn).sum().clamp(min=1e-300)), 6),
            }
        write_text(self.path, json.dumps(result, indent=2) + "\n")
        logger.info(
            "thresholds fitted on %d images: macro Jaccard %.4f to %.4f, micro %.4f to %.4f; written to %s",
            images,
            result["jaccard_at_half"]["macro"],
            result["jaccard_fitted"]["macro"],
            result["jaccard_at_half"]["micro"],
            result["jaccard_fitted"]["micro"],
            self.path,
        )

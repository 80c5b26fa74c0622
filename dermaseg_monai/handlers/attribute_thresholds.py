"""Thresholds of the attributes, fitted on validation and stored beside the weights."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

from dermaseg_monai.handlers.metrics import FittedJaccardHandler
from dermaseg_monai.metrics import best_thresholds, scores_at
from dermaseg_monai.utils.distributed import rank
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_text

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


def fitted_thresholds(
    histogram: torch.Tensor, attributes: Sequence[str], objective: str = "macro"
) -> dict[str, Any]:
    """What ``thresholds.json`` says of weights: the thresholds, and the official Jaccard index there and at 0.5.

    Args:
        histogram: of a :class:`FittedJaccardHandler` that has seen the validation images.
        attributes: names of the channels.
        objective: "macro" or "micro", see :func:`dermaseg_monai.metrics.best_thresholds`.
    """
    fitted = best_thresholds(histogram, objective)
    result: dict[str, Any] = {
        "section": "validation",
        "objective": objective,
        "thresholds": dict(zip(attributes, fitted, strict=True)),
    }
    for name, thresholds in (("fitted", fitted), ("at_half", [0.5] * len(fitted))):
        jaccard, micro = scores_at(histogram, thresholds)
        result[f"jaccard_{name}"] = {
            **{key: round(value, 6) for key, value in zip(attributes, jaccard.tolist(), strict=True)},
            "macro": round(float(jaccard.mean()), 6),
            "micro": round(micro, 6),
        }
    return result


class FitThresholds:
    """Ignite handler that writes ``<ckpt_dir>/thresholds.json`` together with the weights it belongs to.

    Beside the threshold of each attribute it holds the official Jaccard index there and at 0.5, on the images
    that were validated, at the network's size.

    Args:
        ckpt_dir: folder of the weights.
        attributes: names of the channels.
        scores: the validator's metric, whose pixels the thresholds are fitted on.
        validator: the evaluator whose key metric chooses the weights.
        objective: "macro" or "micro", see :func:`dermaseg_monai.metrics.best_thresholds`.
    """

    def __init__(
        self,
        ckpt_dir: str | os.PathLike[str],
        attributes: Sequence[str],
        scores: FittedJaccardHandler,
        validator: Any,
        objective: str = "macro",
    ) -> None:
        self.path = Path(ckpt_dir) / _NAME
        self.attributes = list(attributes)
        self.scores = scores
        self.validator = validator
        self.objective = objective

    def attach(self, engine: Any) -> None:
        """Register with the trainer, after the validation and before :class:`ResumableCheckpoint`."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Write the thresholds where this epoch's weights are the best so far."""
        if rank() != 0 or self.validator.state.best_metric_epoch != engine.state.epoch:
            return
        result = fitted_thresholds(self.scores.histogram, self.attributes, self.objective)
        write_text(self.path, json.dumps({"epoch": engine.state.epoch, **result}, indent=2) + "\n")

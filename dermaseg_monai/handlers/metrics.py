"""Ignite handlers of the metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from ignite.metrics import Metric
from monai.handlers import IgniteMetricHandler

from dermaseg_monai.metrics.attribute_thresholds import (
    THRESHOLDS,
    best_thresholds,
    probability_histogram,
    scores_at,
)
from dermaseg_monai.metrics.auc import CURVES, ScoreHistogram
from dermaseg_monai.metrics.masks import MODES, prediction_masks
from dermaseg_monai.metrics.segmentation import SegmentationMetric
from dermaseg_monai.utils.distributed import gather_objects
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.modes import check_mode


def prediction_and_label(output: Any) -> tuple[Any, Any]:
    """Take prediction and label from the output of a MONAI engine.

    Args:
        output: ``{"pred": ..., "label": ...}`` of a batch, or a decollated list of such dictionaries;
            ``"pred"`` is a tensor, or a dictionary with the tensor at ``"logits"``.

    Returns:
        Two tensors ``(B, C, H, W)``, or two lists of ``(C, H, W)``.

    Raises:
        InputError: the output is neither.
    """
    if isinstance(output, Mapping):
        if "pred" not in output or "label" not in output:
            raise InputError(f"the engine's output has the keys {list(output)}; give 'pred' and 'label'.")
        prediction = output["pred"]
        return prediction["logits"] if isinstance(prediction, Mapping) else prediction, output["label"]
    if isinstance(output, Sequence) and output and all(isinstance(item, Mapping) for item in output):
        pairs = [prediction_and_label(item) for item in output]
        return [prediction for prediction, _ in pairs], [label for _, label in pairs]
    raise InputError(
        f"the engine's output is a {type(output).__name__}; give a dictionary with 'pred' and 'label', a "
        "list of them, or an output_transform that makes a (prediction, label) pair."
    )


class SegmentationHandler(IgniteMetricHandler):
    """Ignite metric on raw network output, batched or decollated: ``key_val_metric`` without post-processing.

    Each batch is thresholded and counted on its device without waiting for it. At the end of the epoch the
    score stands in ``engine.state.metrics[name]`` as a float, equal in all processes, and each image's score
    per channel, ``(N, C)`` float64, in ``engine.state.metric_details[name]``.

    Args:
        metric: a key of ``METRICS``.
        mode: how predictions become masks, one of ``MODES``, explained at ``prediction_masks``.
        reduction: one of ``REDUCTIONS``, explained at ``dermaseg_monai.metrics.aggregates.aggregate``. The
            official Task 2 score is ``metric="jaccard", reduction="pooled_micro"``.
        empty: the score where the metric's denominator is zero.
        output_transform: makes a (prediction, label) pair from ``engine.state.output``.
        save_details: whether to keep each image's score in ``engine.state.metric_details``.

    Raises:
        InputError: the metric, the mode or the reduction is unknown.
    """

    def __init__(
        self,
        metric: str = "threshold_jaccard",
        mode: str = "binary",
        reduction: str = "image_mean",
        empty: float = 1.0,
        output_transform: Callable[[Any], tuple[Any, Any]] = prediction_and_label,
        save_details: bool = True,
    ) -> None:
        check_mode(mode, MODES)
        self.mode = mode
        super().__init__(
            metric_fn=SegmentationMetric(metric, reduction, empty),
            output_transform=output_transform,
            save_details=save_details,
        )

    def update(self, output: Sequence[Any]) -> None:
        """Count one batch.

        Args:
            output: prediction and label, ``(B, C, H, W)`` each or lists of ``(C, H, W)``.

        Raises:
            InputError: they do not fit each other or the mode.
        """
        prediction, label = output
        if isinstance(prediction, torch.Tensor):
            super().update((prediction_masks(prediction, self.mode), label))
        else:
            super().update(([prediction_masks(one, self.mode) for one in prediction], label))

    def compute(self) -> float:
        """Score the images of all processes.

        Returns:
            The score.

        Raises:
            InputError: there are no images.
        """
        metric = cast(SegmentationMetric, self.metric_fn)
        score = metric.aggregate().item()
        self._is_reduced = True
        if self.save_details and self._engine is not None:
            self._engine.state.metric_details[self._name] = metric.per_image()  # type: ignore[attr-defined]
        return score


class CurveHandler(Metric):
    """Ignite metric of pixel curves, ROC AUC or average precision, on raw logits.

    At the end of the epoch the mean over the channels where the curve is defined stands in
    ``engine.state.metrics[name]``, equal in all processes (NaN where it is defined for none), and the value
    of each channel, ``(C,)`` float64, NaN where undefined, in the attribute ``per_channel``.

    Args:
        channels: number of attributes C.
        curve: ``"roc_auc"`` or ``"average_precision"``.
        output_transform: makes a (logits, label) pair from ``engine.state.output``.

    Raises:
        InputError: the curve is unknown or ``channels`` is below 1.
    """

    def __init__(
        self,
        channels: int,
        curve: str = "roc_auc",
        output_transform: Callable[[Any], tuple[Any, Any]] = prediction_and_label,
    ) -> None:
        if curve not in CURVES:
            raise InputError(f"unknown curve '{curve}'; choose one of {', '.join(CURVES)}.")
        self.curve = curve
        self.histogram = ScoreHistogram(channels)
        self.per_channel: torch.Tensor | None = None
        super().__init__(output_transform, skip_unrolling=True)

    def reset(self) -> None:
        """Forget all pixels."""
        self.histogram.reset()

    def update(self, output: Sequence[Any]) -> None:
        """Count one batch.

        Args:
            output: logits and label, ``(B, C, H, W)`` each or lists of ``(C, H, W)``.

        Raises:
            InputError: they do not fit each other or the channels.
        """
        self.histogram.update(*output)

    def compute(self) -> float:
        """Score the pixels of all processes.

        Returns:
            The mean over the channels where the curve is defined.
        """
        self.per_channel = CURVES[self.curve](self.histogram.gather())
        return self.per_channel.nanmean().item()


class FittedJaccardHandler(Metric):
    """Ignite metric of the official Jaccard index at each channel's best threshold, on raw logits.

    How well a network finds a rare attribute does not show at 0.5, which its probabilities may never reach. At
    the end of the epoch the mean over the channels stands in ``engine.state.metrics[name]``, equal in all
    processes, and what thresholds can be fitted on, ``(2, C, THRESHOLDS + 1)`` float64, in the attribute
    ``histogram``: see :func:`dermaseg_monai.metrics.best_thresholds`.

    Args:
        channels: number of attributes C, each the logit of a sigmoid.
        output_transform: makes a (logits, label) pair from ``engine.state.output``.
    """

    def __init__(
        self, channels: int, output_transform: Callable[[Any], tuple[Any, Any]] = prediction_and_label
    ) -> None:
        self.channels = channels
        self.histogram = torch.zeros((2, channels, THRESHOLDS + 1), dtype=torch.float64)
        super().__init__(output_transform, skip_unrolling=True)

    def reset(self) -> None:
        """Forget all pixels."""
        # by the number of pixels of an image, which its counts are divided by
        self._counts: dict[int, torch.Tensor] = {}

    def update(self, output: Sequence[Any]) -> None:
        """Count one batch.

        Args:
            output: logits and label, ``(B, C, H, W)`` each or lists of ``(C, H, W)``.

        Raises:
            InputError: they do not fit each other or the channels.
        """
        logits, label = output
        if not isinstance(logits, torch.Tensor):
            for pair in zip(logits, label, strict=True):
                self.update([one[None] for one in pair])
            return
        if logits.shape[1] != self.channels:
            raise InputError(f"logits have {logits.shape[1]} channels; give {self.channels} as announced.")
        pixels = logits.shape[-2] * logits.shape[-1]
        counts = probability_histogram(logits.float().sigmoid(), label)
        self._counts[pixels] = counts + self._counts[pixels] if pixels in self._counts else counts

    def compute(self) -> float:
        """Score the images of all processes.

        Returns:
            The macro Jaccard index at the thresholds that maximise it.
        """
        totals: dict[int, torch.Tensor] = {}
        for share in gather_objects([{pixels: counts.cpu() for pixels, counts in self._counts.items()}]):
            for pixels, counts in share.items():
                totals[pixels] = counts + totals.get(pixels, 0)
        self.histogram = torch.zeros_like(self.histogram)
        for pixels, counts in sorted(totals.items()):
            self.histogram += counts.double() / pixels
        jaccard, _ = scores_at(self.histogram, best_thresholds(self.histogram))
        return jaccard.mean().item()

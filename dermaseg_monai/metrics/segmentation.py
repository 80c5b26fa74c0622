"""Segmentation scores over a data set, as a MONAI metric."""

from __future__ import annotations

from typing import Any, cast

import ignite.distributed as idist
import torch
from monai.metrics import CumulativeIterationMetric
from monai.utils import evenly_divisible_all_gather

from dermaseg_monai.metrics.aggregates import REDUCTIONS, aggregate
from dermaseg_monai.metrics.counts import confusion_counts
from dermaseg_monai.metrics.reductions import get_metric
from dermaseg_monai.utils.errors import InputError


class SegmentationMetric(CumulativeIterationMetric):
    """Cumulative score of binary masks: buffers each image's confusion counts, scores them at the end.

    Called with ``(y_pred, y)``, both masks ``(B, C, H, W)`` or lists of ``(C, H, W)`` of any sizes, as
    ``confusion_counts`` reads them; returns and buffers the counts ``(B, C, 4)``.

    In distributed runs every process, also one that saw no image, must call ``aggregate``, ``per_image`` or
    ``get_buffer``, and gets the result over the images of all. A sampler that repeats images to even out the
    processes makes them count twice.

    Args:
        metric: a key of ``METRICS``, such as ``"threshold_jaccard"``.
        reduction: one of ``REDUCTIONS``, explained at ``dermaseg_monai.metrics.aggregates.aggregate``.
        empty: the score where the metric's denominator is zero.

    Raises:
        InputError: the metric or the reduction is unknown.

    Example:
        >>> metric = SegmentationMetric("dice")
        >>> metric(torch.tensor([[[[1, 1, 0, 0]]]]), torch.tensor([[[[1, 0, 0, 0]]]]))  # counts of a batch
        tensor([[[1, 1, 0, 2]]])
        >>> metric(torch.tensor([[[[0, 0, 1, 1]]]]), torch.tensor([[[[0, 0, 1, 1]]]]))
        tensor([[[2, 0, 0, 2]]])
        >>> print(f"{metric.aggregate():.4f}")
        0.8333
    """

    def __init__(self, metric: str = "dice", reduction: str = "image_mean", empty: float = 1.0) -> None:
        super().__init__()
        get_metric(metric)
        if reduction not in REDUCTIONS:
            raise InputError(f"unknown reduction '{reduction}'; choose one of {', '.join(REDUCTIONS)}.")
        self.metric = metric
        self.reduction = reduction
        self.empty = empty

    def aggregate(self, reduction: str | None = None, per_channel: bool = False) -> torch.Tensor:
        """Score all images so far.

        Args:
            reduction: one of ``REDUCTIONS`` in place of the metric's own.
            per_channel: give one score per channel instead of their mean.

        Returns:
            float64 scalar, or ``(C,)`` when ``per_channel``, on the CPU.

        Raises:
            InputError: there are no images, or the reduction does not fit.
        """
        return aggregate(self._counts(), self.metric, reduction or self.reduction, per_channel, self.empty)

    def per_image(self) -> torch.Tensor:
        """Score each image so far.

        Returns:
            ``(N, C)`` float64 on the CPU, the images of the first process first.

        Raises:
            InputError: there are no images.
        """
        return get_metric(self.metric)(self._counts(), empty=self.empty)

    def _counts(self) -> torch.Tensor:
        counts = self.get_buffer()
        if counts is None:
            raise InputError("there are no images to score; call the metric on a batch before aggregating.")
        return counts.cpu()

    def _compute_tensor(
        self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **kwargs: Any
    ) -> torch.Tensor:
        if y is None:
            raise InputError("no target came with the prediction; give two tensors or two lists.")
        return confusion_counts(y_pred, y)

    def _compute_list(self, y_pred: Any, y: Any = None, **kwargs: Any) -> Any:
        if y is None or len(y_pred) != len(y) or len(y) == 0:
            targets = 0 if y is None else len(y)
            raise InputError(f"{len(y_pred)} predictions came with {targets} targets; give one for each.")
        return super()._compute_list(y_pred, y, **kwargs)

    def _sync(self) -> None:
        # the inherited method leaves the other processes waiting for one that has no images
        if self._synced:
            return
        local = torch.stack(self._buffers[0]) if self._buffers else None
        if idist.get_world_size() > 1:
            channels = max(cast(list[int], idist.all_gather(0 if local is None else local.shape[1])))
            if channels:
                local = torch.zeros((0, channels, 4), dtype=torch.int64) if local is None else local
                local = evenly_divisible_all_gather(local.to(idist.device()), concat=True)
        if local is not None:
            self._synced_tensors, self._synced = [local], True

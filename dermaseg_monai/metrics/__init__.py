"""ISIC metrics: masks to counts, counts to scores, and the MONAI class around them."""

from __future__ import annotations

from dermaseg_monai.metrics.aggregates import (
    REDUCTIONS,
    aggregate,
    image_mean,
    normalised_pool,
    pooled,
    pooled_micro,
    present_mean,
)
from dermaseg_monai.metrics.attribute_thresholds import (
    OBJECTIVES,
    THRESHOLDS,
    best_thresholds,
    counts_at_thresholds,
    probability_histogram,
    scores_at,
)
from dermaseg_monai.metrics.auc import (
    CURVES,
    ScoreHistogram,
    average_precision,
    roc_auc,
    score_histogram,
)
from dermaseg_monai.metrics.boundary import (
    BOUNDARY_METRICS,
    BOUNDARY_METRICS_MM,
    boundary_scores,
    lower_is_better,
)
from dermaseg_monai.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    logit_histogram,
    negative_log_likelihood,
)
from dermaseg_monai.metrics.conformal import inner_score, inner_threshold, outer_score, outer_threshold
from dermaseg_monai.metrics.counts import COUNT_NAMES, confusion_counts
from dermaseg_monai.metrics.masks import MODES, prediction_masks
from dermaseg_monai.metrics.reductions import (
    METRICS,
    accuracy,
    dice,
    get_metric,
    jaccard,
    sensitivity,
    specificity,
    threshold_jaccard,
)
from dermaseg_monai.metrics.segmentation import SegmentationMetric

__all__ = [
    "BOUNDARY_METRICS",
    "BOUNDARY_METRICS_MM",
    "COUNT_NAMES",
    "CURVES",
    "METRICS",
    "MODES",
    "OBJECTIVES",
    "REDUCTIONS",
    "THRESHOLDS",
    "ScoreHistogram",
    "SegmentationMetric",
    "accuracy",
    "aggregate",
    "average_precision",
    "best_thresholds",
    "boundary_scores",
    "confusion_counts",
    "counts_at_thresholds",
    "dice",
    "expected_calibration_error",
    "fit_temperature",
    "get_metric",
    "image_mean",
    "inner_score",
    "inner_threshold",
    "jaccard",
    "logit_histogram",
    "lower_is_better",
    "negative_log_likelihood",
    "normalised_pool",
    "outer_score",
    "outer_threshold",
    "pooled",
    "pooled_micro",
    "prediction_masks",
    "present_mean",
    "probability_histogram",
    "roc_auc",
    "score_histogram",
    "scores_at",
    "sensitivity",
    "specificity",
    "threshold_jaccard",
]

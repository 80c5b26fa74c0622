"""Handlers that attach to a trainer or an evaluator."""

from __future__ import annotations

from dermaseg_monai.handlers.attribute_scores import AttributeScores
from dermaseg_monai.handlers.attribute_thresholds import FitThresholds, fitted_thresholds, stored_thresholds
from dermaseg_monai.handlers.early_stop import EarlyStop
from dermaseg_monai.handlers.epoch_seed import EpochSeed
from dermaseg_monai.handlers.evaluation_report import EvaluationReport
from dermaseg_monai.handlers.learning_rate import LearningRate
from dermaseg_monai.handlers.lesion_scores import LesionScores
from dermaseg_monai.handlers.metrics import (
    CurveHandler,
    FittedJaccardHandler,
    SegmentationHandler,
    prediction_and_label,
)
from dermaseg_monai.handlers.prediction_table import PredictionTable
from dermaseg_monai.handlers.resumable_checkpoint import ResumableCheckpoint
from dermaseg_monai.handlers.step_events import StepEvents
from dermaseg_monai.handlers.training_log import TrainingLog
from dermaseg_monai.handlers.training_report import TrainingReport
from dermaseg_monai.handlers.uncertainty_report import UncertaintyReport
from dermaseg_monai.handlers.uncertainty_scores import UncertaintyScores, risk_coverage
from dermaseg_monai.handlers.weight_average import UpdateAverage, WeightAverage

__all__ = [
    "AttributeScores",
    "CurveHandler",
    "EarlyStop",
    "EpochSeed",
    "EvaluationReport",
    "FitThresholds",
    "FittedJaccardHandler",
    "LearningRate",
    "LesionScores",
    "PredictionTable",
    "ResumableCheckpoint",
    "SegmentationHandler",
    "StepEvents",
    "TrainingLog",
    "TrainingReport",
    "UncertaintyReport",
    "UncertaintyScores",
    "UpdateAverage",
    "WeightAverage",
    "fitted_thresholds",
    "prediction_and_label",
    "risk_coverage",
    "stored_thresholds",
]

"""What MONAI's trainer and evaluators lack for these bundles."""

from __future__ import annotations

from dermaseg_monai.engines.attribute_scores import AttributeScores
from dermaseg_monai.engines.averaging import UpdateAverage, WeightAverage
from dermaseg_monai.engines.checkpoint import TrainingState, load_weights
from dermaseg_monai.engines.class_weights import class_weights
from dermaseg_monai.engines.events import StepEvents
from dermaseg_monai.engines.inferers import FlipInferer, MapInferer
from dermaseg_monai.engines.messages import print_input_errors, tell_failures
from dermaseg_monai.engines.optimizer import parameter_groups
from dermaseg_monai.engines.photo_summary import PhotoSummary
from dermaseg_monai.engines.photos import PhotoEvaluator, predict_maps
from dermaseg_monai.engines.precision import (
    autocast,
    default_device,
    exact_float32,
    half_dtype,
    mixed_precision,
)
from dermaseg_monai.engines.progress import Progress
from dermaseg_monai.engines.schedule import EarlyStop, LearningRate, OneCycle
from dermaseg_monai.engines.scores import LesionScores
from dermaseg_monai.engines.seeding import EpochSeed
from dermaseg_monai.engines.switch import switch
from dermaseg_monai.engines.thresholds import FitThresholds, stored_thresholds
from dermaseg_monai.engines.trainer import Evaluator, Trainer
from dermaseg_monai.engines.uncertainty_scores import UncertaintyScores, risk_coverage

__all__ = [
    "AttributeScores",
    "EarlyStop",
    "EpochSeed",
    "Evaluator",
    "FitThresholds",
    "FlipInferer",
    "LearningRate",
    "LesionScores",
    "MapInferer",
    "OneCycle",
    "PhotoEvaluator",
    "PhotoSummary",
    "Progress",
    "StepEvents",
    "Trainer",
    "TrainingState",
    "UncertaintyScores",
    "UpdateAverage",
    "WeightAverage",
    "autocast",
    "class_weights",
    "default_device",
    "exact_float32",
    "half_dtype",
    "load_weights",
    "mixed_precision",
    "parameter_groups",
    "predict_maps",
    "print_input_errors",
    "risk_coverage",
    "stored_thresholds",
    "switch",
    "tell_failures",
]

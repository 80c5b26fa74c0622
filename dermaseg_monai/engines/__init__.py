"""Trainer and evaluators, extending MONAI's."""

from __future__ import annotations

from dermaseg_monai.engines.photo_evaluator import PhotoEvaluator
from dermaseg_monai.engines.trainer import Evaluator, Trainer

__all__ = ["Evaluator", "PhotoEvaluator", "Trainer"]

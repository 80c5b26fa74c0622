"""Trainer and evaluators, extending MONAI's."""

from __future__ import annotations

from dermaseg_monai.engines.one_cycle import OneCycle
from dermaseg_monai.engines.optimizer import parameter_groups
from dermaseg_monai.engines.photo_evaluator import PhotoEvaluator
from dermaseg_monai.engines.trainer import Evaluator, Trainer

__all__ = ["Evaluator", "OneCycle", "PhotoEvaluator", "Trainer", "parameter_groups"]

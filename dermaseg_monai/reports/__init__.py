"""Pictures of results."""

from __future__ import annotations

from dermaseg_monai.reports.attributes import COLOURS, AttributeCase, draw_attribute_panel
from dermaseg_monai.reports.curves import plot_curves
from dermaseg_monai.reports.distribution import attribute_distribution, plot_distribution
from dermaseg_monai.reports.evaluation import EvaluationReport
from dermaseg_monai.reports.panels import Case, draw_panel, spread
from dermaseg_monai.reports.training import TrainingReport
from dermaseg_monai.reports.uncertainty import UncertaintyReport, plot_uncertainty

__all__ = [
    "COLOURS",
    "AttributeCase",
    "Case",
    "EvaluationReport",
    "TrainingReport",
    "UncertaintyReport",
    "attribute_distribution",
    "draw_attribute_panel",
    "draw_panel",
    "plot_curves",
    "plot_distribution",
    "plot_uncertainty",
    "spread",
]

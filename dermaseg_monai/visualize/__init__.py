"""Pictures of photos, masks and results."""

from __future__ import annotations

from dermaseg_monai.visualize.attributes import AttributeCase, draw_attribute_panel
from dermaseg_monai.visualize.colours import COLOURS
from dermaseg_monai.visualize.curves import plot_curves
from dermaseg_monai.visualize.distribution import attribute_distribution, plot_distribution
from dermaseg_monai.visualize.panels import Case, draw_panel, spread
from dermaseg_monai.visualize.uncertainty import plot_uncertainty

__all__ = [
    "COLOURS",
    "AttributeCase",
    "Case",
    "attribute_distribution",
    "draw_attribute_panel",
    "draw_panel",
    "plot_curves",
    "plot_distribution",
    "plot_uncertainty",
    "spread",
]

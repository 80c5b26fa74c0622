"""The colours of outlines, the same in every picture."""

from __future__ import annotations

from collections.abc import Mapping

TRUTH_COLOUR = "#00e5ff"
PREDICTION_COLOUR = "#ffd600"

OUTLINE_COLOURS: Mapping[str, str] = {"inner": "#00c853", "outer": "#ff9100"}
"""The colours of the outlines between which a lesion's border lies, as on the page."""

COLOURS: Mapping[str, str] = {
    "pigment_network": "#2f9bff",
    "negative_network": "#00c853",
    "streaks": "#ff1744",
    "milia_like_cyst": "#ffd600",
    "globules": "#d500f9",
}
"""The colour of each attribute, in the order of the masks' channels."""

"""A photo's prediction by a model of the page, without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dermaseg_monai.app.models import Model, Prediction
from dermaseg_monai.app.turns import Turns


def segmented(model: Model, photo: Path, **options: bool) -> Prediction:
    """What the model answers; options are those of :meth:`Model.segment`."""
    turns = Turns(workers=1, places=1)
    try:
        return asyncio.run(model.segment(photo, turns, **options))()
    finally:
        turns.close()

"""Picture of the calibration and of the risk-coverage curve, after an evaluation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
from ignite.engine import Engine, Events

from dermaseg_monai.utils.distributed import rank
from dermaseg_monai.visualize.uncertainty import plot_uncertainty


class UncertaintyReport:
    """Ignite handler that draws ``<output_dir>/uncertainty.png`` from ``uncertainty.json``.

    Args:
        output_dir: folder of what the evaluation writes.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, after :class:`dermaseg_monai.handlers.UncertaintyScores`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw both curves."""
        if rank() == 0:
            scores = json.loads((self.output_dir / "uncertainty.json").read_text(encoding="utf-8"))
            calibration, curve = pd.DataFrame(scores["calibration"]), pd.DataFrame(scores["risk_coverage"])
            plot_uncertainty(calibration, curve, self.output_dir / "uncertainty.png")

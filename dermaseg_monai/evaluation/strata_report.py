"""Page of the photos for which an evaluation's masks are worse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from dermaseg_monai.evaluation.report import report_strata
from dermaseg_monai.evaluation.strata import read_metadata
from dermaseg_monai.utils.distributed import rank
from dermaseg_monai.utils.files import read_table


class StrataReport:
    """Ignite handler that writes what :func:`dermaseg_monai.evaluation.report.report_strata` does.

    Args:
        output_dir: folder of what the evaluation writes, with its ``metrics.csv`` and ``masks``.
        data: the evaluated items ``{"id", "image", "label"}``.
        section: of the items.
        metadata: CSV file with a column of ids, whose other columns make further strata.

    Raises:
        InputError: the CSV file cannot be used.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        data: Sequence[dict[str, Any]],
        section: str,
        metadata: str | os.PathLike[str] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.data = data
        self.section = section
        self.metadata = metadata
        if metadata is not None:
            read_metadata(metadata, [item["id"] for item in data])

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, after :class:`dermaseg_monai.handlers.LesionScores`."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the page and its tables."""
        if rank() != 0:
            return
        scores = read_table(self.output_dir / "metrics.csv")
        masks = self.output_dir / "masks"
        report_strata(scores, masks, self.output_dir, self.data, self.section, self.metadata)

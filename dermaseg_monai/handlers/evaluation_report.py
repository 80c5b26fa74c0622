"""Picture of an evaluation's best, median and worst cases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ignite.engine import Engine, Events

from dermaseg_monai.utils.distributed import rank
from dermaseg_monai.utils.files import read_table
from dermaseg_monai.visualize import draw_attribute_panel, draw_panel, spread
from dermaseg_monai.visualize.saved_cases import saved_attribute_case, saved_case


class EvaluationReport:
    """Ignite handler that draws ``<output_dir>/panel.png`` from the saved masks once an evaluation ends.

    Args:
        output_dir: folder of what the evaluation writes, with its ``metrics.csv`` and ``masks``.
        data: the evaluated items ``{"id", "image", "label"}``.
        attributes: names of the masks of each photo, or None for a single mask; the panel then shows photos
            that have any, by the Dice of all attributes together.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        data: list[dict[str, Any]],
        attributes: Sequence[str] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.items = {item["id"]: item for item in data}
        self.attributes = attributes

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator, after the handler that writes the scores."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw the panel."""
        if rank() != 0:
            return
        table = read_table(self.output_dir / "metrics.csv")
        if self.attributes is not None:
            table = _by_photo(table)
        titled = [
            (f"{kind}: {table['id'][index]}, Dice {table['dice'][index]:.3f}", table["id"][index])
            for kind, index in spread(table["dice"].tolist())
        ]
        path = self.output_dir / "panel.png"
        if self.attributes is None:
            draw_panel(
                [saved_case(title, self.items[name], self.output_dir / "masks") for title, name in titled],
                path,
            )
        else:
            draw_attribute_panel(
                [
                    saved_attribute_case(title, self.items[name], self.output_dir / "masks", self.attributes)
                    for title, name in titled
                ],
                path,
            )


def _by_photo(table: pd.DataFrame) -> pd.DataFrame:
    counts = table.groupby("id", sort=False)[["tp", "fp", "fn"]].sum().reset_index()
    present = counts[counts["tp"] + counts["fn"] > 0]
    counts = (present if len(present) else counts).reset_index(drop=True)
    errors = counts["fp"] + counts["fn"]
    return counts.assign(dice=2 * counts["tp"] / (2 * counts["tp"] + errors).clip(lower=1))

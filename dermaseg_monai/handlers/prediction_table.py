"""Table of predictions and of photos left out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ignite.engine import Events

from dermaseg_monai.data.photos import PhotoLoader, check_any
from dermaseg_monai.datasets.isic2018 import photo_of_mask
from dermaseg_monai.utils.distributed import gather_objects, rank, world_size
from dermaseg_monai.utils.files import as_text, atomic_path
from dermaseg_monai.utils.words import counted, number_of

logger = logging.getLogger(__name__)

UNLIKE = "unlike the photos that the network was trained on; do not rely on the mask"
"""The warning beside a photo whose unlikeness is above 1."""


class PredictionTable:
    """Ignite handler that lists the photos segmented, with simple measurements, and the unreadable ones.

    Writes ``<output_dir>/predictions.csv`` with a row per photo (or per photo and attribute): ``id``,
    ``image``, ``height`` and ``width`` in pixels, ``attribute`` where there are several, ``area_share``
    (predicted pixels over all pixels, 0 to 1), the bounding box ``left, top, right, bottom`` in pixels (right
    and bottom exclusive; empty where nothing is predicted) and ``confidence`` (mean probability over the
    predicted pixels). Bundles with a calibration add ``band_share`` (of the outer outline's pixels, those that are
    not within the inner one), ``unlikeness`` (of the photo to the training photos, 1 at the limit) and ``warning``
    (a sentence for a photo beyond it, else empty). Where photos could not be read, ``<output_dir>/failures.csv``
    says why, row by row. A run of one process that is stopped, by Ctrl-C or by an error, leaves the rows it has.

    Each item of the engine's batch has the lists ``measurements`` and ``confidence``, an entry per channel.

    Args:
        output_dir: folder of the masks.
        loader: where the photos come from.
        attributes: names of the channels, or None for a single mask.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        loader: PhotoLoader,
        attributes: Sequence[str] | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.loader = loader
        self.attributes = attributes
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Any) -> None:
        """Register with a :class:`dermaseg_monai.engines.PhotoEvaluator`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._keep)

    def _start(self, engine: Any) -> None:
        self.rows = []

    def _collect(self, engine: Any) -> None:
        names = [{}] if self.attributes is None else [{"attribute": name} for name in self.attributes]
        for item in engine.state.batch:
            height, width = item["image"].meta["original_size"]
            photo = {"id": item["id"], "image": as_text(item["image"].meta["filename_or_obj"])}
            photo |= {"height": height, "width": width}
            doubt = {name: item[name] for name in ("band_share", "unlikeness") if name in item}
            if "unlikeness" in doubt:
                doubt["warning"] = UNLIKE if doubt["unlikeness"] > 1 else ""
            for name, measured, confidence in zip(
                names, item["measurements"], item["confidence"], strict=True
            ):
                self.rows.append(photo | name | measured | {"confidence": confidence} | doubt)

    def _keep(self, engine: Any, error: BaseException) -> None:
        if self.rows and world_size() == 1:
            self._write(engine)
        raise error

    def _warn_of_older(self, ids: set[str]) -> None:
        """Name the masks of an earlier run that are not in the table."""
        names = (path.name for path in self.output_dir.iterdir())
        older = sorted(
            name for name in names if (stem := photo_of_mask(name)) is not None and stem not in ids
        )
        if older:
            logger.warning(
                "%s in %s: of an earlier run and not in predictions.csv; remove what you do not need, or choose "
                "another folder",
                counted(older, "mask"),
                self.output_dir,
            )

    def _write(self, engine: Any) -> None:
        rows, failures = gather_objects(self.rows), gather_objects(self.loader.failures)
        check_any(rows, failures)
        if rank() != 0:
            return
        table = pd.DataFrame(rows).sort_values("id", ignore_index=True, kind="stable")
        table = table.astype(dict.fromkeys(("left", "top", "right", "bottom"), "Int64"))
        with atomic_path(self.output_dir / "predictions.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6f")
        stale = self.output_dir / "failures.csv"
        if failures:
            with atomic_path(stale) as temporary:
                pd.DataFrame(failures).to_csv(temporary, index=False)
        else:
            stale.unlink(missing_ok=True)
        self._warn_of_older(set(table["id"]))
        logger.info(
            "%s segmented, %d left out; masks in %s",
            number_of(table["id"].nunique(), "photo"),
            len(failures),
            self.output_dir,
        )

"""Derivation of masks, Segmentation objects and reports from DICOM photos."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from pydicom import Dataset

from dermaseg_monai.bundle.folder import BundleFolder, check_reserved
from dermaseg_monai.datasets.isic2018 import ATTRIBUTE_SUFFIXES, LESION_SUFFIX
from dermaseg_monai.dicom.algorithm import describe_algorithm
from dermaseg_monai.dicom.identity import derived_uid
from dermaseg_monai.dicom.outline import make_outline
from dermaseg_monai.dicom.report import make_report
from dermaseg_monai.dicom.segmentation import make_segmentation
from dermaseg_monai.dicom.source import Source
from dermaseg_monai.handlers import PredictionTable
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import read_table, write_bytes


@dataclass
class Derived:
    """What came of some photos.

    Attributes:
        rows: of ``predictions.csv``.
        failures: id, image and reason of each photo left out.
        objects: the DICOM files of each photo, by its id, in the order in which they are to be sent.
    """

    rows: list[pd.DataFrame] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    objects: dict[str, list[Path]] = field(default_factory=dict)


class Deriver:
    """A trained bundle that makes DICOM objects of DICOM photos; its network is loaded once.

    Args:
        bundle: name in the catalogue, or a bundle's folder.
        overrides: ids of the bundle's inference.json.
        outline: also draw the outline into a Secondary Capture.

    Raises:
        InputError: the bundle is unknown, has no weights or no such id.
    """

    def __init__(self, bundle: str, overrides: Mapping[str, Any], outline: bool = False) -> None:
        check_reserved(overrides)
        self.folder = BundleFolder.find(bundle, overrides.get("ckpt_dir"))
        self.settings = {name: value for name, value in overrides.items() if name != "ckpt_dir"}
        self.algorithm = describe_algorithm(self.folder.path, self.folder.ckpt_dir, overrides)
        self.outline = outline
        # it would say for each batch where the masks are, which is not where they stay
        logging.getLogger(PredictionTable.__module__).setLevel(logging.WARNING)
        self.settings["network"] = self.folder.network(**self.settings)

    def uids(self, source: str) -> set[str]:
        """The SOP Instance UIDs of what is derived from a frame.

        Args:
            source: the frame's :attr:`Source.uid`.
        """
        kinds = ("SEG", "SR", "SC") if self.outline else ("SEG", "SR")
        return {derived_uid(kind, source, self.algorithm.checksum) for kind in kinds}

    def derive(self, sources: Iterable[Source], output: Path, scratch: Path) -> Derived:
        """Segment photos and write what follows from the masks.

        Writes ``<id>_segmentation.png`` or ``<id>_attribute_<name>.png``, ``overlays/<id>.jpg``,
        ``<id>_segmentation.dcm``, ``<id>_report.dcm`` and, where asked for, ``<id>_outline.dcm``, each in one step.

        Args:
            sources: as many as may be in memory together.
            output: takes the files.
            scratch: takes the decoded photos meanwhile; it is emptied before and after.

        Returns:
            What came of them.
        """
        derived = Derived()
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            decoded = {}
            for source in sources:
                photo = scratch / "photos" / f"{source.id}.ppm"
                try:
                    pixels = source.pixels()
                except InputError as error:
                    derived.failures.append(failure(source.id, source.path, error))
                    continue
                photo.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(photo)
                decoded[photo] = source
            if decoded:
                self._derive(decoded, output, scratch / "results", derived)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return derived

    def _derive(self, decoded: Mapping[Path, Source], output: Path, results: Path, derived: Derived) -> None:
        items = [{"id": source.id, "image": str(path)} for path, source in decoded.items()]
        self.folder.run(results, overlays=True, **{**self.settings, "dataset#data": items})
        table = read_table(results / "predictions.csv")
        for path, source in decoded.items():
            rows = table[table["id"] == source.id]
            if rows.empty:
                reason = InputError("the bundle could not use this photo.")
                derived.failures.append(failure(source.id, source.path, reason))
                continue
            masks = _read_masks(results, source.id, "attribute" in table)
            try:
                objects = self._objects(source, masks, results / "overlays" / f"{path.stem}.jpg")
            except Exception as error:  # whatever a header lacks, or has in excess
                reason = InputError(
                    f"its header allows no derived objects ({type(error).__name__}); mend it."
                )
                derived.failures.append(failure(source.id, source.path, reason))
                continue
            derived.rows.append(rows.assign(image=str(source.path)))
            derived.objects[source.id] = [output / f"{source.id}_{kind}.dcm" for kind in objects]
            for target, content in zip(derived.objects[source.id], objects.values(), strict=True):
                write_bytes(target, content)
            _move(results, output, source.id)

    def _objects(self, source: Source, masks: Mapping[str, np.ndarray], overlay: Path) -> dict[str, bytes]:
        segmentation = make_segmentation(source, masks, self.algorithm)
        objects: dict[str, Dataset] = {
            "segmentation": segmentation,
            "report": make_report(source, segmentation, masks, self.algorithm),
        }
        if self.outline:
            objects["outline"] = make_outline(source, overlay, self.algorithm)
        return {kind: _written(dataset) for kind, dataset in objects.items()}


def _written(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def failure(id: str, path: Path, reason: InputError) -> dict[str, str]:
    """A row of ``failures.csv``."""
    return {"id": id, "image": str(path), "reason": str(reason)}


def _move(results: Path, output: Path, id: str) -> None:
    """Bring the pictures of one photo from ``results`` to ``output``."""
    suffixes = (LESION_SUFFIX, *ATTRIBUTE_SUFFIXES.values(), "_uncertainty.png")
    for name in (*(f"{id}{suffix}" for suffix in suffixes), f"overlays/{id}.jpg"):
        if (results / name).is_file():
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(results / name, output / name)


def _read_masks(folder: Path, id: str, attributes: bool) -> dict[str, np.ndarray]:
    suffixes = ATTRIBUTE_SUFFIXES if attributes else {"lesion": LESION_SUFFIX}
    return {name: read_mask(folder / f"{id}{suffix}") for name, suffix in suffixes.items()}

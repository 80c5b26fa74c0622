"""Prediction on a DICOM study folder, with DICOM objects beside the masks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.data.photos import check_any
from dermaseg_monai.dicom.derive import Derived, Deriver, failure
from dermaseg_monai.dicom.source import NoPhotoError, Source, find_objects, read_sources
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_path
from dermaseg_monai.utils.words import number_of

logger = logging.getLogger(__name__)

_TOGETHER = 16  # photos decoded and segmented at a time


def predict_dicom(
    photos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    bundle: str = FLAGSHIP,
    outline: bool = False,
    **overrides: Any,
) -> pd.DataFrame:
    """Segment the photos of a DICOM study, as ``dermaseg predict`` does, with DICOM objects beside.

    Args:
        photos: a DICOM file, or a folder of them, also in folders inside; what is no photo is passed over.
        output: where results go: masks, overlays, ``predictions.csv`` and ``failures.csv``, and for each photo (or
            frame) ``<id>_segmentation.dcm``, ``<id>_report.dcm`` and, with ``outline``, ``<id>_outline.dcm``.
        bundle: name in the catalogue, or a bundle's folder.
        outline: also write the photo with its outline drawn in, for viewers that show no Segmentation objects.
        **overrides: ids of the bundle's inference.json.

    Returns:
        The rows of ``predictions.csv``.

    Raises:
        InputError: the bundle is unknown, has no weights or no such id, or no photo could be used.
    """
    deriver = Deriver(bundle, overrides, outline)
    objects, others = find_objects(photos)
    target, all_derived = Path(output), Derived()
    sources = _read(objects, all_derived)
    while chunk := list(islice(sources, _TOGETHER)):
        derived = deriver.derive(chunk, target, target / ".photos")
        all_derived.rows += derived.rows
        all_derived.failures += derived.failures
    passed_over = others + len(objects) - _distinct(all_derived)
    if passed_over:
        logger.info("passed over %s: no DICOM photo", number_of(passed_over, "file"))
    check_any(all_derived.rows, all_derived.failures)
    table = pd.concat(all_derived.rows, ignore_index=True).sort_values("id", ignore_index=True, kind="stable")
    table = table.astype(dict.fromkeys(("left", "top", "right", "bottom"), "Int64"))
    with atomic_path(target / "predictions.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
    failures = target / "failures.csv"
    if all_derived.failures:
        with atomic_path(failures) as temporary:
            pd.DataFrame(all_derived.failures).to_csv(temporary, index=False)
    else:
        failures.unlink(missing_ok=True)
    return table


def _read(objects: list[tuple[str, Path]], derived: Derived) -> Iterator[Source]:
    for id, path in objects:
        try:
            yield from read_sources(path, id)
        except NoPhotoError:
            continue
        except InputError as error:
            logger.warning("left out: %s: %s", path, error)
            derived.failures.append(failure(id, path, error))


def _distinct(derived: Derived) -> int:
    files = {row["image"] for row in derived.failures}
    return len(files.union(*(table["image"] for table in derived.rows)))

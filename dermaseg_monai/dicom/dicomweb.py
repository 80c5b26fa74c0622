"""Segmenting what a DICOMweb archive holds, and storing the results beside it."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.dicom.archive import Answer, Archive, read_credentials
from dermaseg_monai.dicom.derive import Deriver
from dermaseg_monai.dicom.source import PHOTO_CLASSES, NoPhotoError, Source, read_sources
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import write_bytes

logger = logging.getLogger(__name__)

_UID = re.compile(r"[0-9.]{1,64}")
_CLASS, _INSTANCE, _STUDY, _SERIES, _FRAMES = "00080016", "00080018", "0020000D", "0020000E", "00280008"


@dataclass
class Tally:
    """What a run did.

    Attributes:
        stored: photos whose results were stored.
        done: photos whose results were there already.
        left_out: photos that could not be used.
    """

    stored: int = 0
    done: int = 0
    left_out: int = 0


def run_dicomweb(
    url: str,
    study: str | None = None,
    query: str | None = None,
    bundle: str = FLAGSHIP,
    outline: bool = False,
    credentials: str | None = None,
    authority: str | None = None,
    **overrides: Any,
) -> Tally:
    """Segment the photos of an archive's studies and store Segmentation objects and reports in them.

    The results' UIDs follow from the photo and the bundle, so the archive itself knows what is done: a run that was
    killed is simply run again. Nothing stays on this machine.

    Args:
        url: the DICOMweb service root.
        study: UID of the one study to work on.
        query: or a query for studies, ``Attribute=value`` separated by commas.
        bundle: name in the catalogue, or a bundle's folder.
        outline: also store the photo with its outline, as Secondary Capture.
        credentials: file, see :func:`dermaseg_monai.dicom.archive.read_credentials`.
        authority: file of certificates to trust, in place of the system's.
        **overrides: ids of the bundle's inference.json.

    Returns:
        How many photos came to what.

    Raises:
        InputError: an argument is wrong, the bundle cannot be used, or the archive cannot be reached or refuses.
    """
    if (study is None) == (query is None):
        raise InputError("give either --study UID or --query Attribute=value,... to say which studies.")
    if study is not None and not _UID.fullmatch(study):
        raise InputError("--study is no UID; it has digits and points, 64 at most.")
    archive = Archive(url, read_credentials(credentials), authority)
    filters = {} if query is None else parse_query(query)
    deriver = Deriver(bundle, overrides, outline)
    studies = [study] if study else [_value(answer, _STUDY) for answer in archive.search("studies", filters)]
    logger.info("%d studies", len(studies))
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="dermaseg") as folder:
        for number, uid in enumerate(studies, start=1):
            _Study(archive, deriver, uid, Path(folder), f"study {number} of {len(studies)}").run(tally)
    return tally


def parse_query(query: str) -> dict[str, str]:
    """Read ``Attribute=value,...``; an empty text asks for all studies.

    Raises:
        InputError: a part has no ``=``, or no attribute before it.
    """
    parts = [part.partition("=") for part in query.split(",") if part.strip()]
    if not all(sign and re.fullmatch(r"\w+", name.strip()) for name, sign, _ in parts):
        raise InputError(
            "--query must be Attribute=value, several separated by commas, such as StudyDate=20260101-."
        )
    return {name.strip(): value.strip() for name, _, value in parts}


class _Study:
    """One study of an archive, in a run."""

    def __init__(self, archive: Archive, deriver: Deriver, uid: str, folder: Path, name: str) -> None:
        self.archive = archive
        self.deriver = deriver
        self.uid = uid
        self.folder = folder
        self.name = name

    def run(self, tally: Tally) -> None:
        answers = list(
            self.archive.search(f"studies/{self.uid}/instances", {"includefield": "NumberOfFrames"})
        )
        present = {_value(answer, _INSTANCE) for answer in answers}
        photos = [answer for answer in answers if _value(answer, _CLASS) in PHOTO_CLASSES]
        for number, answer in enumerate(photos, start=1):
            name = f"{self.name}, photo {number} of {len(photos)}"
            uid, frames = _value(answer, _INSTANCE), _frames(answer)
            named = [uid] if frames == 1 else [f"{uid} {frame}" for frame in range(1, frames + 1)]
            if self._expected(named) <= present:
                tally.done += 1
                continue
            try:
                self._photo(answer, present)
            except NoPhotoError:
                continue
            except _UnusableError as error:
                logger.warning("left out: %s: %s", name, error)
                tally.left_out += 1
                continue
            logger.info("%s: stored", name)
            tally.stored += 1

    def _expected(self, sources: Iterable[str]) -> set[str]:
        return {uid for source in sources for uid in self.deriver.uids(source)}

    def _photo(self, answer: Answer, present: set[str]) -> None:
        path = f"studies/{self.uid}/series/{_value(answer, _SERIES)}/instances/{_value(answer, _INSTANCE)}"
        file = self.folder / "photo.dcm"
        write_bytes(file, self.archive.fetch(path))
        try:
            sources = read_sources(file, "photo")
        except NoPhotoError:
            raise
        except InputError as error:
            raise _UnusableError(str(error)) from None
        for source in sources:
            if not self._expected([source.uid]) <= present:
                self._store(source)

    def _store(self, source: Source) -> None:
        derived = self.deriver.derive([source], self.folder / "objects", self.folder / "scratch")
        if derived.failures:
            raise _UnusableError(derived.failures[0]["reason"])
        self.archive.store(self.uid, derived.objects[source.id])


class _UnusableError(Exception):
    """A photo that cannot be used, where others can."""


def _frames(answer: Answer) -> int:
    value = _value(answer, _FRAMES)
    return int(value) if value.isdecimal() else 1


def _value(answer: Answer, tag: str) -> str:
    return str((answer.get(tag, {}).get("Value") or [""])[0])

"""Photos to derive from: which DICOM objects are taken, and what derived objects need to know of them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dermaseg_monai.dicom.algorithm import MANUFACTURER
from dermaseg_monai.image_files import MAX_PIXELS
from dermaseg_monai.image_files.dicom import DicomPhoto, check_photo, pixel_spacing, read_dicom
from dermaseg_monai.image_files.kinds import SIGNATURE_BYTES, is_dicom
from dermaseg_monai.utils.errors import InputError

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

PHOTO_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic",
    "1.2.840.10008.5.1.4.1.1.77.1.7": "Dermoscopic Photography",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.3": "Multi-frame Grayscale Word Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture",
}
"""The objects that are photos, by their SOP class."""

_NEEDED = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_CARRIED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
_PIXELS = {"PixelData", "NumberOfFrames", "PerFrameFunctionalGroupsSequence", "FrameIncrementPointer"}
_UID = re.compile(r"[0-9.]{1,64}")
_SUFFIXES = (".dcm", ".dicom", ".ima")


class NoPhotoError(InputError):
    """A DICOM object of another kind, such as a report."""


@dataclass(frozen=True)
class Source:
    """One frame of a DICOM photo.

    Attributes:
        id: names files, unique among the photos of a run.
        path: the object's file.
        header: the object without its pixels and private elements, as if it had this frame alone.
        photo: the object with its pixels.
        frame: number from 1, or None where the object has no more than one.
    """

    id: str
    path: Path
    header: Dataset
    photo: DicomPhoto
    frame: int | None

    @property
    def uid(self) -> str:
        """What identifies the frame among all objects of the world."""
        uid = str(self.header.SOPInstanceUID)
        return uid if self.frame is None else f"{uid} {self.frame}"

    @property
    def spacing(self) -> tuple[float, float] | None:
        """Distance of rows and of columns in mm, where the object has it calibrated (0028,0030)."""
        return pixel_spacing(self.header)

    def pixels(self) -> np.ndarray:
        """Decode the frame to uint8 ``(H, W, 3)``, RGB.

        Raises:
            InputError: header and pixels disagree, or the pixels cannot be decoded.
        """
        return self.photo.frame((self.frame or 1) - 1)


def read_sources(path: Path, id: str) -> list[Source]:
    """Read a DICOM photo.

    Args:
        path: the object's file.
        id: names its only frame; with several frames, ``_frame<number>`` follows.

    Returns:
        A source for each frame.

    Raises:
        NoPhotoError: it is an object of another kind.
        InputError: it is damaged, too large, its pixels are no photo, or it names no study, series and instance.
    """
    dataset = read_dicom(path)
    if str(dataset.get("SOPClassUID", "")) not in PHOTO_CLASSES:
        raise NoPhotoError(
            f"this object is no photo; the ones that are: {', '.join(PHOTO_CLASSES.values())}."
        )
    if dataset.get("Manufacturer") == MANUFACTURER and "DERIVED" in dataset.get("ImageType", ()):
        raise NoPhotoError("this object is a result of an earlier run.")
    header = _header(dataset)
    missing = [name for name in _NEEDED if not header.get(name)]
    if missing:
        raise InputError(
            f"the object has no valid {' and no '.join(missing)}, so that results cannot be filed; mend it."
        )
    photo = check_photo(dataset, MAX_PIXELS)
    if photo.frames == 1:
        return [Source(id, path, header, photo, None)]
    return [
        Source(f"{id}_frame{number}", path, header, photo, number) for number in range(1, photo.frames + 1)
    ]


def _header(dataset: Dataset) -> Dataset:
    from pydicom import Dataset

    header = Dataset()
    for element in dataset:
        if element.keyword not in _PIXELS and _is_valid(element):
            header.add(deepcopy(element))
    for name in _CARRIED:
        if name not in header:
            setattr(header, name, "")
    header.SpecificCharacterSet = "ISO_IR 192"  # all texts are decoded by now, and UTF-8 writes any of them
    if not all(name in header for name in _PLACE):
        for name in _PLACE[:2]:  # a place in space that is only half known
            header.pop(name, None)
    header.file_meta = dataset.file_meta
    return header


def _is_valid(element: DataElement) -> bool:
    """Whether a date, time, number or UID is one; what is not cannot be carried over."""
    from pydicom.config import RAISE
    from pydicom.valuerep import validate_value

    values = element.value if element.VM > 1 else [element.value]
    if element.VR == "UI":  # zeros before a number are against the rules, but there are such devices
        return all(_UID.fullmatch(str(value)) for value in values)
    if element.VR not in ("AS", "DA", "DS", "DT", "IS", "TM"):
        return True
    try:
        for value in values:
            if value is not None:
                validate_value(element.VR, str(value), RAISE)
    except ValueError:
        return False
    return True


def find_objects(folder: str | os.PathLike[str]) -> tuple[list[tuple[str, Path]], int]:
    """The DICOM files of a study folder, and of the folders in it.

    Args:
        folder: such as a camera's export or a disc; or one file.

    Returns:
        An id and the path of each, by path; and how many other files were passed over.

    Raises:
        InputError: there is no such folder, or no DICOM file in it.
    """
    root = Path(folder).expanduser().absolute()
    if root.is_file():
        return [(_name(root), root)], 0
    if not root.is_dir():
        raise InputError(f"{root} does not exist; give a DICOM file, or a folder of them.")
    files = sorted(_visible(root))
    objects = [path for path in files if path.suffix.lower() in _SUFFIXES or _has_signature(path)]
    objects = [path for path in objects if path.name.upper() != "DICOMDIR"]
    if not objects:
        raise InputError(f"the folder {root} holds no DICOM file.")
    names = [_name(path) for path in objects]
    if len(set(names)) < len(names):  # IM0001 in the folder of each series
        names = ["_".join((*path.relative_to(root).parts[:-1], _name(path))) for path in objects]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"the results of several files would be named {min(twice)}; rename one of them.")
    return list(zip(names, objects, strict=True)), len(files) - len(objects)


def _visible(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _visible(path)
        elif path.is_file():
            yield path


def _name(path: Path) -> str:
    # files are often named by a UID, whose last number is no ending
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def _has_signature(path: Path) -> bool:
    with path.open("rb") as stream:
        return is_dicom(stream.read(SIGNATURE_BYTES))

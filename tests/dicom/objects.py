"""DICOM objects of small scenes, and the independent tools that judge what is made of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from dermaseg_monai.dicom.phantoms import dermoscopic_object

PATIENT = "Müller^Änne"
"""A name that must not turn up in logs, with letters beyond ASCII."""


def needs(tool: str) -> pytest.MarkDecorator:
    """Skip where a tool of Debian's dcmtk or dicom3tools is not installed."""
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def disc_object(name: str = "disc", size: tuple[int, int] = (48, 64), shift: int = 0) -> Dataset:
    """A Dermoscopic Photography object with a dark disc on light skin."""
    rows, columns = np.indices(size)
    inside = (rows - size[0] / 2) ** 2 + (columns - size[1] / 2 - shift) ** 2 < (size[0] / 4) ** 2
    pixels = np.where(inside[..., None], (96, 56, 40), (224, 176, 152)).astype(np.uint8)
    # a corner of another colour: nothing turned or mirrored goes unseen
    pixels[:8, :8] = (40, 80, 200)
    dataset = dermoscopic_object(pixels, name)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = PATIENT, "SECRET-4711"
    dataset.AccessionNumber, dataset.StudyDescription = "A-99", "Mole check"
    return dataset


def rgb_of(dataset: Dataset) -> np.ndarray:
    """The pixels of :func:`disc_object`."""
    values = np.frombuffer(dataset.PixelData[: dataset.Rows * dataset.Columns * 3], np.uint8)
    return values.reshape(dataset.Rows, dataset.Columns, 3)


def with_pixels(dataset: Dataset, values: np.ndarray, interpretation: str, bits: int = 8) -> Dataset:
    """The object with other native pixels: ``(..., H, W)`` or ``(..., H, W, 3)``, frames first."""
    dataset.PhotometricInterpretation = interpretation
    dataset.SamplesPerPixel = 3 if values.shape[-1] == 3 else 1
    dataset.BitsAllocated = values.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    data = values.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    if dataset.SamplesPerPixel == 1:
        del dataset.PlanarConfiguration
    return dataset


def with_jpeg(dataset: Dataset, stream: bytes, interpretation: str) -> Dataset:
    """The object with a JPEG stream as its only frame."""
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = interpretation
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write the object to ``path``; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def run(*words: object) -> str:
    """Run a tool; what it prints."""
    finished = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"{words}: {finished.stdout}{finished.stderr}"
    return finished.stdout + finished.stderr


def faults(path: Path) -> list[str]:
    """What dciodvfy, the validator of dicom3tools, calls an error."""
    finished = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (finished.stdout + finished.stderr).splitlines() if line.startswith("Error")]

"""Phantoms as Dermoscopic Photography objects: what a dermatoscope with a DICOM connection sends."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, DermoscopicPhotographyImageStorage, ExplicitVRLittleEndian

from dermaseg_monai.datasets.isic2018 import ARCHIVES
from dermaseg_monai.dicom import codes
from dermaseg_monai.dicom.algorithm import MANUFACTURER
from dermaseg_monai.dicom.identity import derived_uid
from dermaseg_monai.image_files import read_photo
from dermaseg_monai.utils.files import atomic_path

FOLDER = "DICOM"
"""The folder of the objects, beside the official ones."""

FIELD_OF_VIEW = 20.0
"""Skin that a phantom's long side shows, in mm."""


def write_dicom_phantoms(output: str | os.PathLike[str]) -> Path:
    """Write each photo of a set of phantoms as a Dermoscopic Photography object, with the very pixels.

    Each is a patient and a study of its own, invented; the same phantoms give the same objects.

    Args:
        output: folder that :func:`dermaseg_monai.datasets.phantoms.write_phantoms` wrote.

    Returns:
        The folder of the objects.
    """
    folder = Path(output) / FOLDER
    for path in sorted((Path(output) / ARCHIVES["training", "image"].folder).glob("*.jpg")):
        dataset = dermoscopic_object(read_photo(path), path.stem)
        with atomic_path(folder / f"{path.stem}.dcm") as temporary:
            dataset.save_as(temporary, enforce_file_format=True)
    return folder


def dermoscopic_object(pixels: np.ndarray, name: str) -> Dataset:
    """A Dermoscopic Photography object of an invented patient.

    Args:
        pixels: uint8 ``(H, W, 3)``, RGB.
        name: becomes the patient's and makes the UIDs.

    Returns:
        The object, with native pixels, 20 mm of skin along its long side.
    """
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).tobytes()
    uid = UID(derived_uid("phantom", name, hashlib.sha256(data).hexdigest()))
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DermoscopicPhotographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PatientName, dataset.PatientID = f"Phantom^{name}", f"PHANTOM-{name}"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = ""
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        derived_uid("study", uid),
        derived_uid("series", uid),
    )
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber, dataset.AccessionNumber = "1", 1, 1, ""
    dataset.StudyDate = dataset.ContentDate = "20200101"
    dataset.StudyTime = dataset.ContentTime = "120000"
    dataset.Modality, dataset.SeriesDescription = "DMS", "Phantom, not a patient"
    dataset.Manufacturer, dataset.ManufacturerModelName = MANUFACTURER, "phantom"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "0", "0"
    dataset.PatientOrientation = dataset.Laterality = ""
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.BurnedInAnnotation = dataset.RecognizableVisualFeatures = "NO"
    dataset.LossyImageCompression = "01"  # they were JPEGs
    dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod = 10, "ISO_10918_1"
    dataset.AcquisitionContextSequence = []
    dataset.LightSourcePolarization = dataset.ContactMethod = ""
    dataset.EmitterColorTemperature = dataset.OpticalMagnificationFactor = None
    # since 2021 the standard asks for no frame of reference any more; older readers miss it
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = derived_uid("frame", uid), ""
    dataset.AnatomicRegionSequence = [_coded(codes.SKIN)]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Rows, dataset.Columns = height, width
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    spacing = round(FIELD_OF_VIEW / max(height, width), 6)
    dataset.PixelSpacing = [spacing, spacing]
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    return dataset


def _coded(code: codes.Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return item

"""The photo with its outline drawn in, for viewers that do not show Segmentation objects (Secondary Capture)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom import CoordinateSystemNames
from highdicom.sc import SCImage
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

from dermaseg_monai.dicom.algorithm import MANUFACTURER, Algorithm
from dermaseg_monai.dicom.identity import derived_uid
from dermaseg_monai.dicom.segmentation import instance_number
from dermaseg_monai.dicom.source import Source

SERIES_NUMBER = 9003


def make_outline(source: Source, overlay: Path, algorithm: Algorithm) -> SCImage:
    """Put a drawn overlay into a Secondary Capture object of the photo's study.

    Args:
        source: the photo.
        overlay: the JPEG that :func:`dermaseg_monai.visualize.overlay.draw_overlay` wrote.
        algorithm: what made the masks.

    Returns:
        The object, not yet written.
    """
    with Image.open(overlay) as image:
        pixels = np.array(image.convert("RGB"))
    capture = SCImage.from_ref_dataset(
        source.header,
        pixels,
        photometric_interpretation="YBR_FULL_422",
        bits_allocated=8,
        coordinate_system=CoordinateSystemNames.PATIENT,
        series_instance_uid=derived_uid("SC series", source.header.SeriesInstanceUID, algorithm.checksum),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("SC", source.uid, algorithm.checksum),
        instance_number=instance_number(source),
        manufacturer=MANUFACTURER,
        patient_orientation=("L", "F"),  # asked for, and set to the source's below
        transfer_syntax_uid=JPEGBaseline8Bit,
        manufacturer_model_name=algorithm.name,
        software_versions=algorithm.version,
        device_serial_number=algorithm.checksum,
        series_description=algorithm.description,
    )
    capture.PatientOrientation = source.header.get("PatientOrientation")
    capture.Laterality = source.header.get("Laterality")
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "YES"
    return capture

"""Measurements of a photo's masks as a structured report (Comprehensive SR, TID 1500)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    ReferencedSegmentationFrame,
    SourceImageForSegmentation,
    TrackingIdentifier,
)
from PIL import Image
from pydicom import Dataset
from pydicom.sr.codedict import codes as all_codes

from dermaseg_monai.dicom import codes
from dermaseg_monai.dicom.algorithm import MANUFACTURER, Algorithm
from dermaseg_monai.dicom.identity import derived_uid
from dermaseg_monai.dicom.segmentation import instance_number, private_scheme, tracking_uid
from dermaseg_monai.dicom.source import Source
from dermaseg_monai.metrics.lesion_shape import measure_lesion

SERIES_NUMBER = 9002


def make_report(
    source: Source, segmentation: Dataset, masks: Mapping[str, np.ndarray], algorithm: Algorithm
) -> ComprehensiveSR:
    """Report the measurements of a photo's masks.

    Of a lesion: area, greatest diameter, asymmetry and border irregularity, see
    :mod:`dermaseg_monai.metrics.lesion_shape`; of an attribute: its area. In mm where the photo has pixel
    spacing, otherwise in pixels.

    Args:
        source: the photo.
        segmentation: the Segmentation object of the masks, which the report refers to.
        masks: 0 and not 0, ``(H, W)``, by name, in the order of the segments.
        algorithm: what made them.

    Returns:
        The report, not yet written.
    """
    groups = [
        _measured(number, name, mask, source, segmentation, algorithm)
        for number, (name, mask) in enumerate(masks.items(), start=1)
    ]
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", algorithm.checksum),
        name=algorithm.name,
        manufacturer_name=MANUFACTURER,
        model_name=algorithm.name,
        serial_number=algorithm.checksum,
    )
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(all_codes.DCM.Device, device)
        ),
        procedure_reported=codes.DERMOSCOPY,
        imaging_measurements=groups,
    )
    report = ComprehensiveSR(
        evidence=[source.header, segmentation],
        content=content[0],
        series_instance_uid=derived_uid("SR series", source.header.SeriesInstanceUID, algorithm.checksum),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("SR", source.uid, algorithm.checksum),
        instance_number=instance_number(source),
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        manufacturer_model_name=algorithm.name,
        software_versions=algorithm.version,
        device_serial_number=algorithm.checksum,
        series_description=algorithm.description,
        specific_character_set=source.header.SpecificCharacterSet,
    )
    report.CodingSchemeIdentificationSequence = [private_scheme()]
    return report


def _measured(
    number: int, name: str, mask: np.ndarray, source: Source, segmentation: Dataset, algorithm: Algorithm
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    kind = codes.SEGMENTS[name]
    segment = ReferencedSegmentationFrame(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        frame_number=number,
        segment_number=number,
        source_image=SourceImageForSegmentation(
            source.header.SOPClassUID,
            source.header.SOPInstanceUID,
            None if source.frame is None else [source.frame],
        ),
    )
    # PS3.3 10.3 allows one of the two numbers, and a segment has one frame
    del segment[0].ReferencedSOPSequence[0].ReferencedFrameNumber
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=tracking_uid(name, source, algorithm), identifier=kind.meaning
        ),
        referenced_segment=segment,
        finding_type=kind,
        finding_category=codes.ABNORMAL,
        finding_sites=[FindingSite(codes.SKIN)],
        algorithm_id=AlgorithmIdentification(
            name=algorithm.name, version=algorithm.version, parameters=[f"sha256={algorithm.checksum}"]
        ),
        measurements=list(_measurements(name, mask, source.spacing)),
    )


def _measurements(name: str, mask: np.ndarray, spacing: tuple[float, float] | None) -> Iterator[Measurement]:
    rows, columns = spacing or (1.0, 1.0)
    area_unit, length_unit = (
        (codes.SQUARE_MILLIMETRE, codes.MILLIMETRE) if spacing else (codes.PIXELS, codes.PIXELS)
    )
    yield Measurement(codes.AREA, _rounded(np.count_nonzero(mask) * rows * columns), area_unit)
    if name != "lesion":
        return
    side = min(rows, columns)
    shape = measure_lesion(_square(mask, rows / side, columns / side))
    if shape.diameter_px is None or shape.asymmetry is None or shape.border_irregularity is None:
        return
    yield Measurement(
        codes.DIAMETER, _rounded(shape.diameter_px * side), length_unit, derivation=codes.MAXIMUM
    )
    yield Measurement(codes.ASYMMETRY, _rounded(shape.asymmetry), codes.NO_UNIT)
    yield Measurement(codes.BORDER_IRREGULARITY, _rounded(shape.border_irregularity), codes.NO_UNIT)


def _square(mask: np.ndarray, tall: float, wide: float) -> np.ndarray:
    """The mask with pixels ``tall`` by ``wide``, one of them 1, on a grid of square pixels."""
    if math.isclose(tall, wide, rel_tol=1e-3):
        return mask
    size = (max(1, round(mask.shape[1] * wide)), max(1, round(mask.shape[0] * tall)))
    image = Image.fromarray((mask != 0).astype(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))


def _rounded(value: float) -> float:
    # a decimal string has 16 characters, and nobody measures a lesion to a millionth
    return float(f"{value:.6g}")

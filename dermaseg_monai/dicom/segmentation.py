"""DICOM Segmentation objects."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

import highdicom
import numpy as np
from pydicom import DataElement, Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dermaseg_monai.dicom import codes
from dermaseg_monai.dicom.algorithm import MANUFACTURER, Algorithm
from dermaseg_monai.dicom.identity import derived_uid
from dermaseg_monai.dicom.source import Source

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

SERIES_NUMBER = 9001

_SINGLE_FRAME = SecondaryCaptureImageStorage


def make_segmentation(source: Source, masks: Mapping[str, np.ndarray], algorithm: Algorithm) -> Segmentation:
    """Put the masks of a photo into a Segmentation object: a binary segment and frame for each.

    Study, patient, frame of reference and pixel spacing are the source's; series and instance are new, and the same
    again for the same source and algorithm.

    Args:
        source: the photo.
        masks: 0 and not 0, ``(H, W)``, of the photo's size, by name: ``lesion``, or the attributes.
        algorithm: what made them.

    Returns:
        The object, not yet written.
    """
    uid = derived_uid("SEG", source.uid, algorithm.checksum)
    spacing = source.spacing
    # highdicom takes several frames for a volume; this is one frame, whatever the others are
    posed = deepcopy(source.header)
    posed.SOPClassUID = _SINGLE_FRAME
    segmentation = highdicom.seg.Segmentation(
        source_images=[posed],
        pixel_array=np.stack([mask != 0 for mask in masks.values()], axis=-1)[None].astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe(number, name, source, algorithm) for number, name in enumerate(masks, start=1)
        ],
        series_instance_uid=derived_uid("SEG series", source.header.SeriesInstanceUID, algorithm.checksum),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=instance_number(source),
        manufacturer=MANUFACTURER,
        manufacturer_model_name=algorithm.name,
        software_versions=algorithm.version,
        device_serial_number=algorithm.checksum,
        content_description=algorithm.description,
        content_label="LESION" if "lesion" in masks else "ATTRIBUTES",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        # every segment has its frame, also an empty one: frame and segment numbers are the same
        omit_empty_frames=False,
        # a photo has no depth, but the standard wants one with the spacing: that of a cube
        pixel_measures=None
        if spacing is None
        else highdicom.PixelMeasuresSequence(pixel_spacing=spacing, slice_thickness=min(spacing)),
        series_description=algorithm.description,
    )
    segmentation.PatientOrientation = source.header.get("PatientOrientation")
    _refer_to_source(segmentation, source)
    # highdicom makes a new one each time
    organisation = derived_uid("dimensions", uid)
    segmentation.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in segmentation.DimensionIndexSequence:
        index.DimensionOrganizationUID = organisation
    segmentation.CodingSchemeIdentificationSequence = [private_scheme()]
    return segmentation


def instance_number(source: Source) -> int:
    """The source's instance number, with frames counted on."""
    try:
        number = int(source.header.get("InstanceNumber") or 1)
    except (TypeError, ValueError):
        number = 1
    return max(number, 1) if source.frame is None else source.frame


def private_scheme() -> Dataset:
    """What a reader is told about the codes of our own."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = codes.PRIVATE_SCHEME
    scheme.CodingSchemeName = "DermaSeg-MONAI: attributes of ISIC 2018 and shape indices"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme


def identify(algorithm: Algorithm) -> highdicom.AlgorithmIdentificationSequence:
    """The algorithm as the standard's macro."""
    return highdicom.AlgorithmIdentificationSequence(
        name=algorithm.name,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=algorithm.version,
        source=MANUFACTURER,
        parameters={"sha256": algorithm.checksum},
    )


def _describe(
    number: int, name: str, source: Source, algorithm: Algorithm
) -> highdicom.seg.SegmentDescription:
    kind: Code = codes.SEGMENTS[name]
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=kind.meaning,
        segmented_property_category=codes.ABNORMAL,
        segmented_property_type=kind,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identify(algorithm),
        tracking_uid=tracking_uid(name, source, algorithm),
        tracking_id=kind.meaning,
        anatomic_regions=[codes.SKIN],
    )


def tracking_uid(name: str, source: Source, algorithm: Algorithm) -> str:
    """What identifies a segment in the Segmentation and in the report."""
    return derived_uid("segment", name, source.uid, algorithm.checksum)


def _refer_to_source(segmentation: Segmentation, source: Source) -> None:
    """Name the class of the source in every reference to it, and the frame where it has several."""

    def name_class(dataset: Dataset, element: DataElement) -> None:
        if element.keyword == "ReferencedSOPClassUID":
            element.value = source.header.SOPClassUID

    segmentation.walk(name_class)
    for groups in segmentation.PerFrameFunctionalGroupsSequence if source.frame else ():
        for derivation in groups.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                image.ReferencedFrameNumber = source.frame

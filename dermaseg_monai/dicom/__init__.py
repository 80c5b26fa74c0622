"""DICOM: segmentations and reports of photos from files, a DICOMweb archive or a camera.

Its libraries are the extra ``dicom``; without them, importing any of it raises an :class:`InputError` of one sentence.
"""

from __future__ import annotations

from dermaseg_monai.dicom.extra import require_dicom

require_dicom()

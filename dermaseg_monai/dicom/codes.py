"""Codes of what is segmented and measured.

SNOMED CT's and DICOM's own, as far as DICOM's context groups know them. They know neither the dermoscopic attributes of
ISIC 2018 nor the two shape indices: these have codes of the private scheme ``99DERMASEG``, under SNOMED CT categories.
"""

from __future__ import annotations

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dermaseg_monai.datasets.isic2018 import ATTRIBUTES

PRIVATE_SCHEME = "99DERMASEG"

SKIN = codes.SCT.Skin
LESION = codes.SCT.SkinLesion
ABNORMAL = codes.SCT.MorphologicallyAbnormalStructure
ARTIFICIAL_INTELLIGENCE = codes.DCM.ArtificialIntelligence
DERMOSCOPY = codes.SCT.DermoscopicPhotography

AREA = codes.SCT.Area
DIAMETER = codes.SCT.Diameter
MAXIMUM = codes.SCT.Maximum
ASYMMETRY = Code("ASYMMETRY", PRIVATE_SCHEME, "Asymmetry index")
BORDER_IRREGULARITY = Code("BORDER_IRREGULARITY", PRIVATE_SCHEME, "Border irregularity index")

MILLIMETRE = codes.UCUM.Millimeter
SQUARE_MILLIMETRE = codes.UCUM.SquareMillimeter
PIXELS = Code("{pixels}", "UCUM", "pixels")
NO_UNIT = codes.UCUM.NoUnits

SEGMENTS = {"lesion": LESION} | {
    name: Code(name.upper(), PRIVATE_SCHEME, name.replace("_", " ").capitalize()) for name in ATTRIBUTES
}
"""What a mask of each name is of."""

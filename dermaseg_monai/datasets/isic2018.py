"""Facts about the ISIC 2018 files: names, addresses, checksums, near-duplicates.

What fetches them is ``download.py``, what makes a dataset of them ``prepare.py``.

Reference: Codella et al., "Skin Lesion Analysis Toward Melanoma Detection 2018" (arXiv:1902.03368) and
Tschandl et al., "The HAM10000 dataset" (doi:10.1038/sdata.2018.161); the archives are listed at
https://challenge.isic-archive.com/data/#2018.
"""

from __future__ import annotations

from dataclasses import dataclass

ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")
"""The five dermoscopic attributes of Task 2, in the order of every label and every output channel."""

DATALIST_NAME = "datalist.json"
"""The file of a prepared folder that lists its photos and masks."""

SECTIONS = ("training", "validation", "test")
"""The sections of a datalist, which are also the three parts of the challenge."""

TASKS = ("lesion", "attribute", "both")
"""Task 1 (lesion boundary), Task 2 (attributes), and the two together."""

LESION_SUFFIX = "_segmentation.png"
ATTRIBUTE_SUFFIXES = {name: f"_attribute_{name}.png" for name in ATTRIBUTES}
SUPERPIXELS_SUFFIX = "_superpixels.png"

BASE_URL = "https://isic-challenge-data.s3.amazonaws.com/2018/"


@dataclass(frozen=True)
class Archive:
    """One official archive.

    Attributes:
        folder: the archive's name without ``.zip``, which is also the folder inside it.
        size: bytes, or None where no figure is published.
        sha256: checksum, or None where none is published.
    """

    folder: str
    size: int | None = None
    sha256: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the zip file."""
        return f"{self.folder}.zip"


# The challenge publishes no checksums. Those below are the ones that independent public projects (torch-em
# among them) verify the official downloads against. None was found for the Task 2 archives: they are None
# here, so that the downloader checks the zip's own CRCs, records the sha256 beside the archive and compares
# with that afterwards.
ARCHIVES: dict[tuple[str, str], Archive] = {
    ("training", "image"): Archive(
        "ISIC2018_Task1-2_Training_Input",
        11_165_358_566,
        "80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f",
    ),
    ("training", "lesion"): Archive(
        "ISIC2018_Task1_Training_GroundTruth",
        27_402_895,
        "99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c",
    ),
    ("training", "attribute"): Archive("ISIC2018_Task2_Training_GroundTruth_v3"),
    ("validation", "image"): Archive(
        "ISIC2018_Task1-2_Validation_Input",
        239_231_159,
        "0ea920fcfe512d12a6e620b50b50233c059f67b10146e1479c82be58ff15a797",
    ),
    ("validation", "lesion"): Archive(
        "ISIC2018_Task1_Validation_GroundTruth",
        759_706,
        "f6911e9c0a64e6d687dd3ca466ca927dd5e82145cb2163b7a1e5b37d7a716285",
    ),
    ("validation", "attribute"): Archive("ISIC2018_Task2_Validation_GroundTruth"),
    ("test", "image"): Archive(
        "ISIC2018_Task1-2_Test_Input",
        None,
        "e59ae1f69f4ed16f09db2cb1d76c2a828487b63d28f6ab85997f5616869b127d",
    ),
    ("test", "lesion"): Archive(
        "ISIC2018_Task1_Test_GroundTruth",
        None,
        "2e8f6edce454a5bdee52485e39f92bd6eddf357e81f39018d05512175238ef82",
    ),
    ("test", "attribute"): Archive("ISIC2018_Task2_Test_GroundTruth"),
}
"""The archive of each (section, kind); the kinds are "image", "lesion" and "attribute"."""

NEAR_DUPLICATES = (
    ("ISIC_0000179", "ISIC_0014765"),
    ("ISIC_0012290", "ISIC_0013594"),
    ("ISIC_0012672", "ISIC_0012673"),
    ("ISIC_0012756", "ISIC_0013184"),
    ("ISIC_0012887", "ISIC_0012989"),
    ("ISIC_0013109", "ISIC_0013163"),
    ("ISIC_0015986", "ISIC_0015987"),
)
"""Pairs of training photos that show the same lesion in nearly the same view."""


def kinds(task: str) -> tuple[str, ...]:
    """The kinds of archive that ``task`` needs, the photos first."""
    return {
        "lesion": ("image", "lesion"),
        "attribute": ("image", "attribute"),
        "both": ("image", "lesion", "attribute"),
    }[task]


def is_mask(name: str) -> bool:
    """Whether a file name ends like an official mask or superpixel map, in any letter case."""
    return name.lower().endswith((LESION_SUFFIX, SUPERPIXELS_SUFFIX, *ATTRIBUTE_SUFFIXES.values()))


def photo_of_mask(name: str) -> str | None:
    """The stem of the photo that a mask is of, by the mask's file name, or None where it is no mask."""
    for suffix in (LESION_SUFFIX, *ATTRIBUTE_SUFFIXES.values()):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return None

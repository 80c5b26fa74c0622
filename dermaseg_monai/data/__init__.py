"""Data: official ISIC files to datalists and splits, and photos to predict on."""

from __future__ import annotations

from dermaseg_monai.data.datalist import list_photos, load_datalist
from dermaseg_monai.data.download import download_isic2018
from dermaseg_monai.data.isic2018 import ATTRIBUTES, SECTIONS
from dermaseg_monai.data.prepare import PrepareSummary, Problem, prepare
from dermaseg_monai.data.splits import assign, official_split, random_split

__all__ = [
    "ATTRIBUTES",
    "SECTIONS",
    "PrepareSummary",
    "Problem",
    "assign",
    "download_isic2018",
    "list_photos",
    "load_datalist",
    "official_split",
    "prepare",
    "random_split",
]

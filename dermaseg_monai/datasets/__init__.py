"""Data sets: layouts, preparation and splits, the official ISIC 2018 files, and synthetic phantoms."""

from __future__ import annotations

from dermaseg_monai.datasets.download import download_isic2018
from dermaseg_monai.datasets.isic2018 import ATTRIBUTES, SECTIONS
from dermaseg_monai.datasets.prepare import PrepareSummary, Problem, prepare
from dermaseg_monai.datasets.splits import assign, official_split

__all__ = [
    "ATTRIBUTES",
    "SECTIONS",
    "PrepareSummary",
    "Problem",
    "assign",
    "download_isic2018",
    "official_split",
    "prepare",
]

"""Image and mask transforms, dictionary style, and batched augmentation on the device."""

from __future__ import annotations

from dermaseg_monai.image_files import Photo, open_photo, read_mask, read_photo
from dermaseg_monai.transforms.attributes import FitLabelToImaged, IndexMapd
from dermaseg_monai.transforms.augment import BatchAugment, dictionary_augment
from dermaseg_monai.transforms.doubt import MeasureDoubtd
from dermaseg_monai.transforms.geometry import Fitd, RestoreSized, fit_mask, fit_photo
from dermaseg_monai.transforms.lens import CropLensd, find_lens
from dermaseg_monai.transforms.measure import MeanProbabilityd, MeasureMaskd, tempered
from dermaseg_monai.transforms.normalise import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    NormalisePhotod,
    denormalise_photo,
    normalise_photo,
)
from dermaseg_monai.transforms.outlines import InnerOuterd, MeasureBandd, SaveOutlinesd
from dermaseg_monai.transforms.photo import LoadMaskd, LoadPhotod
from dermaseg_monai.transforms.postprocess import (
    CleanMaskd,
    Closingd,
    FillHolesd,
    ForegroundProbabilityd,
    LargestComponentd,
    Openingd,
    RemoveSmalld,
    Thresholdd,
)
from dermaseg_monai.transforms.uncertainty import Entropyd, SaveHeatmapd, encode_heatmap
from dermaseg_monai.transforms.unlikeness import MeasureUnlikenessd
from dermaseg_monai.transforms.write import SaveMaskd, check_stems, encode_mask, write_mask

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "BatchAugment",
    "CleanMaskd",
    "Closingd",
    "CropLensd",
    "Entropyd",
    "FillHolesd",
    "FitLabelToImaged",
    "Fitd",
    "ForegroundProbabilityd",
    "IndexMapd",
    "InnerOuterd",
    "LargestComponentd",
    "LoadMaskd",
    "LoadPhotod",
    "MeanProbabilityd",
    "MeasureBandd",
    "MeasureDoubtd",
    "MeasureMaskd",
    "MeasureUnlikenessd",
    "NormalisePhotod",
    "Openingd",
    "Photo",
    "RemoveSmalld",
    "RestoreSized",
    "SaveHeatmapd",
    "SaveMaskd",
    "SaveOutlinesd",
    "Thresholdd",
    "check_stems",
    "denormalise_photo",
    "dictionary_augment",
    "encode_heatmap",
    "encode_mask",
    "find_lens",
    "fit_mask",
    "fit_photo",
    "normalise_photo",
    "open_photo",
    "read_mask",
    "read_photo",
    "tempered",
    "write_mask",
]

"""Image files: the one reader of photos and masks, for preparation, training and inference alike."""

from __future__ import annotations

from dermaseg_monai.image_files.kinds import is_photo_file, is_photo_name
from dermaseg_monai.image_files.mask import Mask, open_mask, read_index_map, read_levels, read_mask
from dermaseg_monai.image_files.photo import MAX_PIXELS, Photo, check_file, open_photo, read_photo

__all__ = [
    "MAX_PIXELS",
    "Mask",
    "Photo",
    "check_file",
    "is_photo_file",
    "is_photo_name",
    "open_mask",
    "open_photo",
    "read_index_map",
    "read_levels",
    "read_mask",
    "read_photo",
]

"""Data: lists of photos and masks, decoded pixels, and the batches made of them."""

from __future__ import annotations

from dermaseg_monai.data.datalist import list_photos, load_datalist, read_labels

__all__ = ["list_photos", "load_datalist", "read_labels"]

"""The masks of a training set, before augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from dermaseg_monai.utils.tensors import plain


def mask_batches(dataset: Any) -> Iterator[torch.Tensor]:
    """Go through all masks of a training set as they are before augmentation, in the order of its items.

    Args:
        dataset: a :class:`dermaseg_monai.data.resident.ResidentDataset`, or MONAI's ``Dataset`` of random
            transforms, whose ``data`` are the loaded items (such as a ``CacheDataset``) with a ``label``
            (C, H, W).

    Yields:
        uint8 tensors (B, C, H, W) of 0 and 1, where the set is kept; a set on a disk is not read at once.
    """
    if hasattr(dataset, "pixels"):
        yield from dataset.pixels.labels.split(64)
    else:
        for index in range(len(dataset.data)):
            yield plain(dataset.data[index]["label"])[None]


def count_pixels(dataset: Any) -> tuple[torch.Tensor, int]:
    """Count the pixels of each channel of a training set's masks, before augmentation.

    Args:
        dataset: a set that :func:`mask_batches` takes, with an image at least.

    Returns:
        Pixels that show each channel, int64 (C,) on the CPU, and how many pixels there are.
    """
    present, pixels = [], 0
    for labels in mask_batches(dataset):
        present.append(torch.count_nonzero(labels, dim=(0, 2, 3)).cpu())
        pixels += labels.shape[0] * labels.shape[2] * labels.shape[3]
    return torch.stack(present).sum(dim=0), pixels

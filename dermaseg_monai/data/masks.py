"""The masks of a training set, before augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def mask_batches(dataset: Any) -> Iterator[torch.Tensor]:
    """Go through all masks of a training set as they are before augmentation, in the order of its items.

    Args:
        dataset: a :class:`dermaseg_monai.data.resident.ResidentDataset`, or MONAI's ``Dataset`` of random
            transforms, whose ``data`` are the loaded items (such as a ``CacheDataset``) with a ``label``
            (C, H, W).

    Yields:
        uint8 tensors (B, C, H, W) of 0 and 1, where the set is kept; a set on a disk is not read at once.
    """
    if hasattr(dataset, "store"):
        yield from dataset.store.labels.split(64)
    else:
        for index in range(len(dataset.data)):
            yield dataset.data[index]["label"].as_subclass(torch.Tensor)[None]

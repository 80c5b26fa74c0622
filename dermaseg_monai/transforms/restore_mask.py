"""Masks at the photo's size straight from probabilities at the network's, without those in between.

At 12 megapixels, interpolating probabilities takes longer than anything else that is done with a mask. But most pixels
lie between four probabilities that are all above the threshold, or all below: only the others have to be computed.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import Compose, MapTransform
from numpy.typing import NDArray

from dermaseg_monai.transforms.geometry import RestoreSized
from dermaseg_monai.transforms.postprocess import Thresholdd


def fuse_restoring(transforms: Compose) -> Compose:
    """Have masks restored directly, where a ``Compose`` thresholds what it has just restored.

    Args:
        transforms: the steps of a post-processing; it stays as it is.

    Returns:
        The same steps; :class:`RestoreMaskd` in place of each :class:`RestoreSized` with :class:`Thresholdd` behind.
    """
    steps: list[Any] = []
    for step in transforms.transforms:
        if isinstance(step, Thresholdd) and steps and isinstance(steps[-1], RestoreSized):
            step = RestoreMaskd(steps.pop(), step)
        steps.append(step)
    return Compose(steps)


class RestoreMaskd(MapTransform):
    """Restore and threshold probabilities in one step: the same masks, bit by bit, as by the two.

    Args:
        restore: what would restore the probabilities; its other keys are restored as by itself.
        threshold: what would threshold them.
    """

    def __init__(self, restore: RestoreSized, threshold: Thresholdd) -> None:
        super().__init__([key for key in threshold.keys if key in restore.keys], allow_missing_keys=True)
        self.restore = restore
        self.threshold = threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items, restored = dict(data), {}
        for key in self.key_iterator(items):
            window = self.restore.window(items, key)
            thresholds = self.threshold.of_channels(window.shown, key)
            masks = [
                divide(values, window.size, threshold).view(np.uint8)
                for values, threshold in zip(window.shown.cpu(), thresholds, strict=True)
            ]
            outside = [self.restore.outside >= threshold for threshold in thresholds]
            stacked = torch.from_numpy(np.stack(masks)).to(window.shown.device)
            restored[key] = window.placed(stacked, outside)
            del items[key]
        rest = RestoreSized(
            self.restore.keys, self.restore.ref, self.restore.outside, allow_missing_keys=True
        )
        return {**rest(items), **restored}


def divide(probability: torch.Tensor, size: tuple[int, int], threshold: float) -> NDArray[np.bool_]:
    """The pixels of an enlarged map of probabilities that reach a threshold.

    Args:
        probability: float32 (h, w), on the CPU.
        size: (height, width) of the enlarged map, which bilinear interpolation by PyTorch would give.
        threshold: from which on a pixel counts.

    Returns:
        bool (height, width), as if every pixel had been interpolated.
    """
    rows, (height, width) = len(probability), size
    across = _interpolated(probability, (rows, width))
    values, level = across.numpy(), np.float32(threshold)
    if height <= rows:
        return _interpolated(probability, size).numpy() >= level
    # two ways to compute one pixel differ by rounding, of its value and of its position between two rows
    slack = np.float32(1e-6) * np.abs(values).max() + np.float32(3e-7 * rows) * np.ptp(values)
    position = np.maximum(
        (np.arange(height, dtype=np.float32) + np.float32(0.5)) * np.float32(rows / height) - np.float32(0.5),
        0,
    )
    first = np.minimum(position.astype(np.int64), rows - 1)
    share = position - first.astype(np.float32)
    above, below = values >= level + slack, values < level - slack
    mask = np.empty(size, dtype=bool)
    close = [np.empty((2, 0), dtype=np.int64)]
    begins = np.searchsorted(first, np.arange(rows + 1))
    for row, (begin, end) in enumerate(pairwise(begins.tolist())):
        after = min(row + 1, rows - 1)
        inside = above[row] & above[after]
        mask[begin:end] = inside
        divided = np.flatnonzero(~(inside | (below[row] & below[after])))
        weight = share[begin:end, None]
        enlarged = (1 - weight) * values[row, divided] + weight * values[after, divided]
        mask[begin:end, divided] = enlarged >= level
        down, right = np.nonzero(np.abs(enlarged - level) < slack)
        close.append(np.stack([down + begin, divided[right]]))
    down, right = np.concatenate(close, axis=1)
    columns, index = np.unique(right, return_inverse=True)
    if not len(columns):
        return mask
    # PyTorch's own positions and weights, for these columns; it may still round otherwise than for the whole map
    exact = _interpolated(across[:, columns], (height, len(columns))).numpy()[down, index]
    if len(columns) > width // 4 or (np.abs(exact - level) < np.float32(2.5e-7) * np.abs(values).max()).any():
        return _interpolated(probability, size).numpy() >= level
    mask[down, right] = exact >= level
    return mask


def _interpolated(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(values.shape) == size:
        return values
    return F.interpolate(values[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]

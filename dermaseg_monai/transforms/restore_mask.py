"""From probabilities at the network's size to masks at the photo's, without the probabilities in between.

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

_ROUNDING = np.float32(5e-7)
"""By how much two ways to compute one probability may differ: a few units in the last place of float32."""


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
                divide(values, window.size, threshold)
                for values, threshold in zip(window.shown.cpu(), thresholds, strict=True)
            ]
            known = [mask for mask in masks if mask is not None]
            if len(known) < len(masks):
                return self.threshold(self.restore(data))
            outside = [self.restore.outside >= threshold for threshold in thresholds]
            stacked = torch.from_numpy(np.stack(known)).to(window.shown.device)
            restored[key] = window.placed(stacked, outside)
            del items[key]
        rest = RestoreSized(
            self.restore.keys, self.restore.ref, self.restore.outside, allow_missing_keys=True
        )
        return {**rest(items), **restored}


def divide(probability: torch.Tensor, size: tuple[int, int], threshold: float) -> NDArray[np.uint8] | None:
    """Say which pixels of an enlarged map of probabilities reach a threshold.

    Args:
        probability: float32 (h, w), on the CPU.
        size: (height, width) of the enlarged map, which bilinear interpolation would give.
        threshold: from which on a pixel counts.

    Returns:
        uint8 (height, width) of 0 and 1; None where a pixel is so near the threshold that rounding decides.
    """
    rows, (height, width) = len(probability), size
    across = F.interpolate(probability[None, None], size=(rows, width), mode="bilinear", align_corners=False)
    values, level = across[0, 0].numpy(), np.float32(threshold)
    # as PyTorch computes it: where the middle of each row lies between the middles of the rows that are there
    place = np.maximum(
        np.float32(rows / height) * (np.arange(height, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5),
        0,
    )
    first = np.minimum(place.astype(np.int64), rows - 1)
    share = place - first.astype(np.float32)
    above, below = values >= level + _ROUNDING, values < level - _ROUNDING
    mask = np.empty(size, dtype=bool)
    begins = np.searchsorted(first, np.arange(rows + 1))
    for row, (begin, end) in enumerate(pairwise(begins.tolist())):
        if begin == end:
            continue
        after = min(row + 1, rows - 1)
        inside = above[row] & above[after]
        mask[begin:end] = inside
        divided = np.flatnonzero(~(inside | (below[row] & below[after])))
        if len(divided):
            weight = share[begin:end, None]
            found = (1 - weight) * values[row, divided] + weight * values[after, divided]
            if (np.abs(found - level) < _ROUNDING).any():
                return None
            mask[begin:end, divided] = found >= level
    return mask.view(np.uint8)

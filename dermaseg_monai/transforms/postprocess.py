"""Post-processing: from logits to the final mask, one item at a time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.flags import is_on
from dermaseg_monai.utils.modes import check_mode, foreground_logits, mode_channels
from dermaseg_monai.utils.regions import Regions, fill_holes, keep_largest
from dermaseg_monai.utils.tensors import plain, with_meta_of


class ForegroundProbabilityd(MapTransform):
    """Turn logits into foreground probabilities.

    Args:
        keys: logits (C, H, W), floating point.
        mode: "binary" (one channel, sigmoid), "two_class" (two channels, softmax, of which the lesion's is
            kept) or "multilabel" (any number of channels, sigmoid each).
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the mode is unknown, or the channels are not those of the mode.

    Example:
        >>> logits = torch.tensor([[[0.0]], [[2.0]]])  # of background and lesion
        >>> ForegroundProbabilityd(mode="two_class")({"pred": logits})["pred"]
        tensor([[[0.8808]]])
    """

    def __init__(
        self, keys: KeysCollection = "pred", mode: str = "binary", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        check_mode(mode)
        self.mode = mode

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            logits = items[key]
            expected = mode_channels(self.mode)
            if logits.ndim != 3 or (expected is not None and logits.shape[0] != expected):
                raise InputError(
                    f"'{key}' has shape {tuple(logits.shape)}, but mode '{self.mode}' needs "
                    f"({expected or 'C'}, H, W)."
                )
            foreground = foreground_logits(plain(logits).float(), self.mode)
            items[key] = with_meta_of(foreground.sigmoid(), logits)
        return items


class Thresholdd(MapTransform):
    """Turn probabilities into masks: 1 where the probability is at least the threshold.

    Args:
        keys: probabilities (C, H, W).
        threshold: one for all channels, or a list of one per channel.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: the number of thresholds and channels differ.

    Example:
        >>> Thresholdd(threshold=0.4)({"pred": torch.tensor([[[0.3, 0.4, 0.9]]])})["pred"]
        tensor([[[0, 1, 1]]], dtype=torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        threshold: float | Sequence[float] = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.threshold = [threshold] if isinstance(threshold, int | float) else list(threshold)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            probability = items[key]
            values = plain(probability).cpu().numpy()
            threshold = np.array(self.of_channels(probability, key), dtype=values.dtype)[:, None, None]
            # NumPy compares five times as fast as torch; seen as uint8, not copied
            mask = torch.from_numpy((values >= threshold).view(np.uint8)).to(probability.device)
            items[key] = with_meta_of(mask, probability)
        return items

    def of_channels(self, probability: torch.Tensor, key: Hashable) -> list[float]:
        """The threshold of each channel of probabilities (C, H, W) that stand under ``key``.

        Raises:
            InputError: there are as many neither as one nor as channels.
        """
        channels = probability.shape[0]
        if len(self.threshold) not in (1, channels):
            raise InputError(
                f"{len(self.threshold)} thresholds are given, but '{key}' has {channels} channels; give one, or one "
                "for each."
            )
        return self.threshold if len(self.threshold) == channels else self.threshold * channels


class _Maskd(MapTransform):
    """A transform of masks (C, H, W) of 0 and 1, each channel for itself, on the CPU."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for key in self.key_iterator(items):
            mask = items[key]
            if mask.dtype != torch.uint8 or mask.ndim != 3:
                raise InputError(
                    f"'{key}' is {mask.dtype} of shape {tuple(mask.shape)}, but a uint8 mask (C, H, W) is "
                    "expected; threshold first."
                )
            channels = plain(mask).cpu().numpy() != 0
            for index, channel in enumerate(channels):
                if channel.any():
                    self._change(channel, index)
            items[key] = with_meta_of(torch.from_numpy(channels.view(np.uint8)), mask)
        return items

    @abstractmethod
    def _change(self, mask: np.ndarray, index: int) -> None:
        """Change one boolean mask (H, W) that is not empty, in place: channel ``index``."""


class LargestComponentd(_Maskd):
    """Keep the largest region of each channel (8-connected; of equals the first).

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1.
        allow_missing_keys: skip absent keys.

    Example:
        >>> mask = torch.tensor([[[1, 0, 1, 1]]], dtype=torch.uint8)
        >>> LargestComponentd()({"pred": mask})["pred"]
        tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    """

    def __init__(self, keys: KeysCollection = "pred", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def _change(self, mask: np.ndarray, index: int) -> None:
        keep_largest(mask)


class FillHolesd(_Maskd):
    """Fill the holes of each channel: background that is not 4-connected to the border of the photo.

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1.
        allow_missing_keys: skip absent keys.

    Example:
        >>> mask = torch.tensor([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], dtype=torch.uint8)
        >>> FillHolesd()({"pred": mask})["pred"].sum()
        tensor(9)
    """

    def __init__(self, keys: KeysCollection = "pred", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def _change(self, mask: np.ndarray, index: int) -> None:
        fill_holes(mask)


class RemoveSmalld(_Maskd):
    """Remove the regions (8-connected) of each channel that are smaller than a share of the photo.

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1.
        min_share: smallest area to keep, as a share of the photo's area; one for all channels, or a list of
            one per channel.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: a share is not between 0 and 1, or there are fewer than channels.

    Example:
        >>> mask = torch.tensor([[[1, 0, 1, 1]]], dtype=torch.uint8)
        >>> RemoveSmalld(min_share=0.5)({"pred": mask})["pred"]
        tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        min_share: float | Sequence[float] = 0.001,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.min_share = _checked("min_share", min_share, 1, "of the photo's area")

    def _change(self, mask: np.ndarray, index: int) -> None:
        regions = Regions(mask, diagonal=True)
        regions.paint(regions.areas < _of_channel(self.min_share, index) * mask.size, mask, False)


class CleanMaskd(MapTransform):
    """Clean masks by any of the five steps below, in their order; a step that is off costs nothing.

    Args:
        keys: masks (C, H, W).
        opening: radius of a morphological opening, see :class:`Openingd`; 0 leaves it out.
        closing: radius of a morphological closing, see :class:`Closingd`; 0 leaves it out.
        remove_small: smallest region as a share of the mask, see :class:`RemoveSmalld`; 0 leaves it out.
        largest_component: keep the largest region alone, see :class:`LargestComponentd`.
        fill_holes: fill what is enclosed, see :class:`FillHolesd`.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: a setting is out of range, or a switch is neither on nor off.

    Example:
        >>> mask = torch.tensor([[[1, 0, 1, 1]]], dtype=torch.uint8)
        >>> CleanMaskd(largest_component=True)({"pred": mask})["pred"]
        tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        opening: float = 0.0,
        closing: float = 0.0,
        remove_small: float = 0.0,
        largest_component: bool | str = False,
        fill_holes: bool | str = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        steps: list[tuple[object, Any]] = [
            (opening, lambda: Openingd(keys, opening, allow_missing_keys)),
            (closing, lambda: Closingd(keys, closing, allow_missing_keys)),
            (remove_small, lambda: RemoveSmalld(keys, remove_small, allow_missing_keys)),
            (is_on(largest_component), lambda: LargestComponentd(keys, allow_missing_keys)),
            (is_on(fill_holes), lambda: FillHolesd(keys, allow_missing_keys)),
        ]
        self.steps = [make() for wanted, make in steps if wanted]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        for step in self.steps:
            items = step(items)
        return items


class _Discd(_Maskd):
    """A morphological change of masks by a disc."""

    def __init__(
        self,
        keys: KeysCollection = "pred",
        radius: float | Sequence[float] = 0.005,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.radius = _checked("radius", radius, 0.1, "of the photo's diagonal")

    def _change(self, mask: np.ndarray, index: int) -> None:
        mask[:] = self._by_disc(mask, _of_channel(self.radius, index) * math.hypot(*mask.shape))

    @abstractmethod
    def _by_disc(self, mask: np.ndarray, radius: float) -> np.ndarray:
        """The changed mask; the radius is in pixels."""


class Openingd(_Discd):
    """Open each channel by a disc: remove what the disc does not fit into, spurs and specks.

    What lies beyond the photo is taken as a continuation, so masks that reach its edge stay there.

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1.
        radius: the disc's radius as a share of the photo's diagonal, so that it means the same at every size;
            below one pixel nothing happens. One for all channels, or a list of one per channel.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: a radius is not between 0 and 0.1, or there are fewer than channels.

    Example:
        >>> mask = torch.zeros(1, 60, 80, dtype=torch.uint8)
        >>> mask[0, 20:40, 20:40] = mask[0, 30, 40:60] = 1  # a square with a spur
        >>> Openingd(radius=0.03)({"pred": mask})["pred"][0, 30].sum()
        tensor(21)
    """

    def _by_disc(self, mask: np.ndarray, radius: float) -> np.ndarray:
        return _dilated(~_dilated(~mask, radius), radius)


class Closingd(_Discd):
    """Close each channel by a disc: fill gaps, notches and holes that the disc does not fit into.

    What lies beyond the photo is taken as a continuation, so nothing is added along its edge for its sake.

    Args:
        keys: masks (C, H, W), uint8 of 0 and 1.
        radius: the disc's radius as a share of the photo's diagonal, so that it means the same at every size;
            below one pixel nothing happens. One for all channels, or a list of one per channel.
        allow_missing_keys: skip absent keys.

    Raises:
        InputError: a radius is not between 0 and 0.1, or there are fewer than channels.

    Example:
        >>> mask = torch.zeros(1, 60, 80, dtype=torch.uint8)
        >>> mask[0, 20:40, 20:40] = 1
        >>> mask[0, 20:40, 30] = 0  # a gap
        >>> Closingd(radius=0.03)({"pred": mask})["pred"].sum()
        tensor(398)
    """

    def _by_disc(self, mask: np.ndarray, radius: float) -> np.ndarray:
        return ~_dilated(~_dilated(mask, radius), radius)


def _checked(name: str, values: float | Sequence[float], highest: float, unit: str) -> list[float]:
    numbers = [values] if isinstance(values, int | float) else list(values)
    if not numbers or not all(0 <= number <= highest for number in numbers):
        raise InputError(f"{name} is {values}, but it must lie between 0 and {highest} {unit}.")
    return numbers


def _of_channel(values: list[float], index: int) -> float:
    """The value of channel ``index``, where one value stands for all channels."""
    if len(values) == 1:
        return values[0]
    if index >= len(values):
        raise InputError(
            f"{len(values)} values of post-processing are given for more channels; give one, or one for each."
        )
    return values[index]


def _dilated(mask: np.ndarray, radius: float) -> np.ndarray:
    """Dilate by a disc: a pixel is set where one within ``radius`` of it is.

    Each row's distance to its nearest set pixel is found once; a pixel is then set if the row at offset dy
    has one within sqrt(radius ** 2 - dy ** 2). Exact, and linear in the radius, where a disc as a structuring
    element is quadratic.
    """
    reach = int(radius)
    if reach < 1:
        return mask
    height, width = mask.shape
    columns = np.arange(width, dtype=np.int32)
    far = np.int32(width + reach + 1)
    before = columns - np.maximum.accumulate(np.where(mask, columns, -far), axis=1)
    after = np.minimum.accumulate(np.where(mask, columns, 2 * far)[:, ::-1], axis=1)[:, ::-1] - columns
    distance = np.minimum(np.minimum(before, after), reach + 1)
    if reach < 255:
        distance = distance.astype(np.uint8)  # a quarter of the bytes to compare below
    grown = distance <= reach
    for dy in range(1, min(reach, height - 1) + 1):
        within = distance <= math.isqrt(int(radius * radius) - dy * dy)
        grown[dy:] |= within[:-dy]
        grown[:-dy] |= within[dy:]
    return grown

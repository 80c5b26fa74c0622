"""Sampling weights that draw images with rare attributes more often."""

from __future__ import annotations

from typing import Any

import torch

from dermaseg_monai.data.masks import mask_batches
from dermaseg_monai.utils.errors import InputError


def repeat_factors(dataset: Any, threshold: float) -> torch.Tensor | None:
    """Weights of images by the rarest thing they show.

    A channel of the masks that a share f of the images has asks for ``max(1, sqrt(threshold / f))``; an image
    gets the largest of what its channels ask for, and 1 where it has none. Channels above the threshold are
    left as they are.

    Args:
        dataset: a set that :func:`dermaseg_monai.data.masks.mask_batches` takes.
        threshold: share of images up to which a channel counts as rare, 0 to 1; 0 for no weights.

    Returns:
        Weights (N,) float64, at least 1; None where the threshold is 0.

    Raises:
        InputError: the threshold is not between 0 and 1.

    Reference: Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"rare_below is {threshold}; give a share of the images between 0 and 1.")
    if threshold == 0:
        return None
    present = torch.cat([labels.amax(dim=(2, 3)) > 0 for labels in mask_batches(dataset)]).cpu()
    share = present.double().mean(dim=0).clamp(min=1e-9)
    asked = (threshold / share).sqrt().clamp(min=1)
    return torch.where(present, asked, 1.0).amax(dim=1)

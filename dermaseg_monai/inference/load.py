"""Loading a trained bundle for photos one by one."""

from __future__ import annotations

import os
from typing import Any

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.inferers.trained_bundle import TrainedBundle


def load_bundle(bundle: str | os.PathLike[str] = FLAGSHIP, **overrides: Any) -> TrainedBundle:
    """Load a trained bundle, ready for photos.

    The network is built and loaded once; each photo is then prepared, segmented and post-processed as the bundle's
    ``inference.json`` says, so that a mask is the one that :func:`dermaseg_monai.predict` writes.

    Args:
        bundle: name in the catalogue, or a bundle's folder.
        **overrides: ids of the bundle's inference.json, such as ``device``, ``threshold``, ``flips`` or ``ckpt_dir``.

    Returns:
        The bundle: ``mask(photo)`` gives uint8 (C, H, W) of 0 and 1 and ``probability(photo)`` float32 (C, H, W) in
        0..1, both at the photo's own size, with a channel for the lesion or for each attribute; ``network`` is the
        trained network in evaluation mode, on its device.

    Raises:
        InputError: the bundle is unknown, has no weights or no such id, or takes prompts (use
            :class:`dermaseg_monai.sam.PromptSession`).

    Example:
        >>> bundle = load_bundle("lesion_mobilenetv2_unet", device="cpu")
        >>> mask = bundle.mask("photo.jpg")
        >>> print(f"{mask.float().mean():.1%} of the photo is lesion")
    """
    return TrainedBundle(bundle, **overrides)

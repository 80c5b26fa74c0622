"""All maps that a network gives for a batch, by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.utils.enums import CommonKeys as Keys

from dermaseg_monai.networks.features import encoder_features
from dermaseg_monai.utils.precision import autocast


def predict_maps(
    image: torch.Tensor, network: torch.nn.Module, inferer: Callable, amp: object
) -> dict[str, torch.Tensor]:
    """Run a network on a batch of photos.

    Args:
        image: normalised photos ``(B, 3, h, w)``, on the network's device.
        network: in evaluation mode.
        inferer: gives logits ``(B, C, h, w)``, or a dictionary of maps with ``logits`` among them.
        amp: run under autocast, see :func:`half_dtype`.

    Returns:
        Float32 maps on the CPU by name; the logits are ``pred``. Of a network with an encoder, ``features``
        ``(B, C)`` stand beside them, see :func:`dermaseg_monai.networks.features.encoder_features`.
    """
    with encoder_features(network) as features, autocast(image.device, amp):
        outputs = inferer(image, network)
    maps = outputs if isinstance(outputs, dict) else {"logits": outputs}
    if features:
        of_photos = torch.cat(features, dim=1)[: len(image)]  # mirrored views follow
        maps = {**maps, "features": of_photos}
    return {Keys.PRED if name == "logits" else name: value.float().cpu() for name, value in maps.items()}

"""Encoder features of a photo, as one vector: channel means of the maps before the deepest one.

These maps know textures and colours, by which skin under a dermatoscope differs from anything else; the deepest map
knows where the lesion is, and is less telling.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

_MAPS = slice(-3, -1)  # strides 8 and 16 of an encoder down to 32
_gathering = threading.local()


@contextmanager
def encoder_features(network: nn.Module) -> Iterator[list[Tensor]]:
    """Gather the features of the forward passes that this thread makes within the context.

    Networks with an ``encoder`` of convolutions have them, be it a module that returns its maps or a list of modules
    applied in turn; of others (``SwinUNetLite``, ``SegFormerLite``, ``TransUNet``) there are none. What the network
    returns does not change.

    Args:
        network: any module.

    Yields:
        A list that each pass extends by the channel means ``(B, C)`` of up to two maps, float32, finer first.
    """
    _watch(network)
    features: list[Tensor] = []
    _gathering.features = features
    try:
        yield features
    finally:
        _gathering.features = None


def _watch(network: nn.Module) -> None:
    # hooks stay, since several threads may run one network; they do nothing outside the context
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module) or not any(isinstance(one, nn.Conv2d) for one in encoder.modules()):
        return
    for module in list(encoder)[_MAPS] if isinstance(encoder, nn.ModuleList) else [encoder]:
        if _keep not in module._forward_hooks.values():
            module.register_forward_hook(_keep)


def _keep(module: nn.Module, inputs: Any, output: Any) -> None:
    features = getattr(_gathering, "features", None)
    if features is None:
        return
    if isinstance(output, dict):
        output = list(output.values())
    maps = output[_MAPS] if isinstance(output, list | tuple) else [output]
    features += [one.detach().float().mean(dim=(2, 3)) for one in maps]

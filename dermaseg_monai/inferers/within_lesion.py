"""Restriction of attributes to the lesion that a lesion bundle finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.inferers.trained_bundle import TrainedBundle, restored_probability
from dermaseg_monai.utils.errors import InputError

_ABSENT = -20.0  # a logit whose sigmoid, 2e-9, is below every threshold there is


class WithinLesiond(MapTransform):
    """Let attributes count only inside the lesion that another bundle finds.

    The lesion bundle is given the photo as its own ``inference.json`` prepares it, and both are compared at the
    photo's own size. Where no lesion is found anywhere in a photo its attributes are left as they are.

    Args:
        keys: attribute logits (C, h, w); they come back at the photo's own size.
        bundle: name or folder of a lesion bundle with ``models/model.pt``.
        preprocessing: made the network's input; a lesion bundle that prepares photos in the same way is given
            that.
        threshold: lesion probability from which a pixel counts as lesion, 0 to 1.
        ref: item that is the network's input, whose ``meta`` holds the photo's path and geometry.
        **overrides: ids of the lesion bundle's inference.json, such as ``device``.

    Raises:
        InputError: the bundle is unknown, has no weights, takes prompts, or segments attributes; a photo cannot
            be read.

    Example:
        >>> from monai.transforms import Compose
        >>> from PIL import Image
        >>> from dermaseg_monai.transforms import Fitd, LoadPhotod, NormalisePhotod
        >>> Image.new("RGB", (60, 40)).save("photo.png")
        >>> preprocessing = Compose([LoadPhotod("image"), Fitd("image", (32, 32)), NormalisePhotod("image")])
        >>> item = {**preprocessing({"image": "photo.png"}), "pred": torch.zeros(5, 32, 32)}
        >>> within = WithinLesiond("pred", "lesion_mobilenetv2_unet", preprocessing, device="cpu")
        >>> within(item)["pred"].shape
        torch.Size([5, 40, 60])
    """

    def __init__(
        self,
        keys: KeysCollection,
        bundle: str | os.PathLike[str],
        preprocessing: Callable,
        threshold: float = 0.5,
        ref: str = "image",
        **overrides: Any,
    ) -> None:
        super().__init__(keys)
        self.lesion = TrainedBundle(bundle, **overrides)
        if self.lesion.task != "lesion":
            raise InputError(f"'{bundle}' segments attributes; give a lesion bundle.")
        self.prepared = self.lesion.prepares_like(preprocessing)
        self.threshold = threshold
        self.ref = ref

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        image = items[self.ref]
        lesion = self.lesion.probability(image.meta["filename_or_obj"], image if self.prepared else None)
        outside = lesion < self.threshold
        for key in self.key_iterator(items):
            logits = torch.logit(restored_probability(items[key], image, "multilabel"), eps=1e-7)
            items[key] = logits if outside.all() else torch.where(outside, logits.clamp(max=_ABSENT), logits)
        return items

"""Ensemble of several trained bundles: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from dermaseg_monai.inferers.trained_bundle import TrainedBundle, restored_probability
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.modes import logits_of_mode


class Ensembled(MapTransform):
    """Average a bundle's probabilities with those of other bundles, of the lesion or of each attribute.

    Each bundle is given the photo as its own ``inference.json`` prepares it, decoded for its size, aspect and
    lens crop. The probabilities are brought to the photo's own size and averaged there, which gives exactly the
    mean of what the bundles say alone. They are returned as logits of the first bundle's mode, so that whatever
    follows need not know.

    Args:
        keys: logits (C, h, w) of the bundle that the others join.
        bundles: names or folders of the others, each with ``models/model.pt``.
        mode: of the logits: "binary", "two_class" or "multilabel".
        preprocessing: made the network's input; members that prepare photos in the same way are given that.
        weights: share of each bundle, its own first, at least 0 with a positive sum; equal shares by default.
        ref: item that is the network's input, whose ``meta`` holds the photo's path and geometry.
        **overrides: ids of the other bundles' inference.json, such as ``flips`` and ``device``.

    Raises:
        InputError: a bundle is unknown, has no weights or another task, or takes prompts; the shares are
            impossible; a photo cannot be read.

    Example:
        >>> from monai.transforms import Compose
        >>> from PIL import Image
        >>> from dermaseg_monai.transforms import Fitd, LoadPhotod, NormalisePhotod
        >>> Image.new("RGB", (60, 40)).save("photo.png")
        >>> preprocessing = Compose([LoadPhotod("image"), Fitd("image", (32, 32)), NormalisePhotod("image")])
        >>> item = {**preprocessing({"image": "photo.png"}), "pred": torch.zeros(1, 32, 32)}
        >>> ensemble = Ensembled("pred", ["lesion_mobilenetv2_unet"], "binary", preprocessing, device="cpu")
        >>> ensemble(item)["pred"].shape
        torch.Size([1, 40, 60])
    """

    def __init__(
        self,
        keys: KeysCollection,
        bundles: Sequence[str],
        mode: str,
        preprocessing: Callable,
        weights: Sequence[float] | None = None,
        ref: str = "image",
        **overrides: Any,
    ) -> None:
        super().__init__(keys)
        weights = [1.0] * (1 + len(bundles)) if weights is None else list(weights)
        if len(weights) != 1 + len(bundles):
            raise InputError(
                f"an ensemble of {1 + len(bundles)} members got {len(weights)} weights; give one for each, its own "
                "first."
            )
        if min(weights) < 0 or sum(weights) <= 0:
            raise InputError(f"ensemble weights are {weights}; they must be at least 0 and not all 0.")
        self.own_share, *self.shares = (weight / sum(weights) for weight in weights)
        self.members = [TrainedBundle(bundle, **overrides) for bundle in bundles]
        task = "attribute" if mode == "multilabel" else "lesion"
        if any(member.task != task for member in self.members):
            raise InputError("an ensemble joins lesion bundles or attribute bundles, but not both.")
        self.prepared = [member.prepares_like(preprocessing) for member in self.members]
        self.mode = mode
        self.ref = ref

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        items = dict(data)
        image = items[self.ref]
        photo = image.meta["filename_or_obj"]
        for key in self.key_iterator(items):
            mean = restored_probability(items[key], image, self.mode)
            mean *= self.own_share
            for member, share, prepared in zip(self.members, self.shares, self.prepared, strict=True):
                mean += share * member.probability(photo, image if prepared else None)
            items[key] = logits_of_mode(torch.logit(mean, eps=1e-7), self.mode)
        return items

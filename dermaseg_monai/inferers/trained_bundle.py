"""Trained bundle that segments photo by photo, from Python or inside another bundle."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import torch
from monai.transforms import Compose, SaveImaged

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.inferers.maps import predict_maps
from dermaseg_monai.transforms import ForegroundProbabilityd, RestoreSized
from dermaseg_monai.transforms.restore_mask import fuse_restoring
from dermaseg_monai.utils.fingerprint import describe
from dermaseg_monai.utils.tensors import plain

_PARTS = ("device", "amp", "preprocessing", "inferer", "network", "postprocessing")


class TrainedBundle:
    """A trained bundle that segments single photos by its own ``inference.json``.

    Each photo is decoded, cropped, resized and normalised for this bundle. Calls from several threads take turns
    at the network; what comes before and after it runs side by side.

    Args:
        bundle: name or folder, with ``models/model.pt``.
        **overrides: ids of its inference.json, such as ``device``.

    Raises:
        InputError: the bundle is unknown, has no weights, or takes prompts.

    Example:
        >>> from PIL import Image
        >>> Image.new("RGB", (60, 40)).save("photo.png")
        >>> bundle = TrainedBundle("lesion_mobilenetv2_unet", device="cpu")
        >>> mask = bundle.mask("photo.png")
        >>> mask.shape, mask.dtype
        (torch.Size([1, 40, 60]), torch.uint8)
    """

    def __init__(self, bundle: str | os.PathLike[str], **overrides: Any) -> None:
        folder = BundleFolder.find(bundle)
        folder.check_unprompted()
        self._folder = folder
        self._parts = folder.parts(*_PARTS, **folder.check(overrides))
        self._parts["network"].eval()
        self._lock = threading.Lock()

    @property
    def task(self) -> str:
        """ "lesion" or "attribute"."""
        return self._folder.task

    @property
    def network(self) -> torch.nn.Module:
        """The trained network, in evaluation mode and on its device."""
        return self._parts["network"]

    def prepares_like(self, preprocessing: Callable) -> bool:
        """Whether another bundle's preprocessing makes the same of every photo as this one's."""
        return describe(self._parts["preprocessing"]) == describe(preprocessing)

    def probability(self, photo: str | os.PathLike[str], image: torch.Tensor | None = None) -> torch.Tensor:
        """Segment a photo.

        Args:
            photo: its path.
            image: what the bundle's preprocessing makes of it (3, h, w), where that is at hand.

        Returns:
            float32 (C, H, W) in 0..1 at the photo's own size, a channel for the lesion or for each attribute.

        Raises:
            InputError: the photo cannot be read.
        """
        item = self._predicted(photo, image)
        for transform in self._parts["postprocessing"].transforms:
            item = transform(item)
            if isinstance(transform, RestoreSized):
                break
        return plain(item["pred"])

    def mask(self, photo: str | os.PathLike[str]) -> torch.Tensor:
        """Segment a photo, with the bundle's threshold and post-processing.

        Args:
            photo: its path.

        Returns:
            uint8 (C, H, W) of 0 and 1 at the photo's own size.

        Raises:
            InputError: the photo cannot be read.
        """
        item = self._predicted(photo)
        for transform in before_saving(self._parts["postprocessing"]):
            item = transform(item)
        return plain(item["pred"])

    def _predicted(self, photo: str | os.PathLike[str], image: torch.Tensor | None = None) -> Any:
        if image is None:
            image = self._parts["preprocessing"]({"image": os.fspath(photo)})["image"]
        device = self._parts["device"]
        batch = plain(image)[None].to(device)
        with self._lock, torch.no_grad():
            maps = predict_maps(batch, self._parts["network"], self._parts["inferer"], self._parts["amp"])
        return {"image": image} | {name: values[0] for name, values in maps.items()}


def before_saving(postprocessing: Compose) -> list[Callable]:
    """The transforms of a post-processing that make the masks, restored directly: those before a file is written."""
    transforms = fuse_restoring(postprocessing).transforms
    return list(takewhile(lambda transform: not isinstance(transform, SaveImaged), transforms))


def restored_probability(logits: torch.Tensor, image: torch.Tensor, mode: str) -> torch.Tensor:
    """Bring a bundle's own logits to where its members' probabilities are.

    Args:
        logits: (C, h, w), or (C, H, W) with the photo's geometry where they are there already.
        image: the network's input, which holds the geometry.
        mode: of the logits.

    Returns:
        Probabilities (C, H, W) at the photo's own size, whose ``meta`` is the photo's.
    """
    item = RestoreSized("pred", ref="image")(
        ForegroundProbabilityd("pred", mode)({"pred": logits, "image": image})
    )
    return item["pred"]

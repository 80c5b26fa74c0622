"""Interactive segmentation: clicks, boxes and masks on photos whose embeddings are kept."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.image_files import check_file
from dermaseg_monai.sam.cache import EmbeddingCache
from dermaseg_monai.sam.network import SamNetwork
from dermaseg_monai.sam.preprocess import PromptPreprocessd
from dermaseg_monai.sam.prompt import Box, Point, Prompt, stacked
from dermaseg_monai.transforms import LoadPhotod
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.precision import autocast, half_dtype

_MASK_LOGIT = 8.0
"""How sure a given mask counts as, as a logit on either side of its boundary."""


class _Photo:
    """A photo's embedding and the last answer, which are kept.

    Attributes:
        size: (height, width).
        embedding: ``(1, C, h, w)``.
        mask: the last answer, uint8 (H, W), and the decoder's logits ``(1, 1, 4h, 4w)`` that it came from.
    """

    def __init__(self, size: tuple[int, int], embedding: torch.Tensor) -> None:
        self.size = size
        self.embedding = embedding
        self.mask: np.ndarray | None = None
        self.logits: torch.Tensor | None = None


class PromptSession:
    """Answers every click at once: the image encoder sees a photo at its first prompt only.

    Several threads may share a session; they take turns at the network.

    Args:
        network: with its weights, on its device.
        preprocess: makes photos the network's input.
        keep: of how many photos the embeddings are kept, 4 MB each; the one used longest ago goes first.
        threshold: a pixel is lesion from this probability on.
        amp: compute under autocast, see :func:`dermaseg_monai.utils.precision.half_dtype`.
        cache: where embeddings of photos that are files are kept on disk as well; None keeps none there.
        max_pixels: larger photos are refused before they are decoded, see :class:`LoadPhotod`.

    Example:
        >>> session = PromptSession.of_bundle("lesion_mobile_sam")
        >>> first = session.refine("photo.jpg", points=[(320, 240)], labels=[1])
        >>> second = session.refine("photo.jpg", points=[(320, 240), (400, 90)], labels=[1, 0], mask=first)
    """

    def __init__(
        self,
        network: SamNetwork,
        preprocess: PromptPreprocessd,
        keep: int = 16,
        threshold: float = 0.5,
        amp: bool | str | None = False,
        cache: EmbeddingCache | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.network = network.eval()
        self.preprocess = preprocess
        self.keep = keep
        self.threshold = threshold
        self.cache = cache
        self.device = next(network.parameters()).device
        self.half = half_dtype(amp, self.device)
        self._load = LoadPhotod("image")
        self._load.max_pixels = max_pixels
        self._photos: OrderedDict[str, _Photo] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of_bundle(
        cls, bundle: str | os.PathLike[str] = "lesion_mobile_sam", keep: int = 16, **overrides: Any
    ) -> PromptSession:
        """The session of a promptable bundle, as its inference.json describes it.

        Args:
            bundle: its name or folder.
            keep: of how many photos the embeddings are kept.
            **overrides: ids of its inference.json, such as ``device`` and ``weights``.

        Raises:
            InputError: the bundle is unknown, takes no prompts, or has no weights.
        """
        folder = BundleFolder.find(bundle)
        if not folder.promptable:
            raise InputError(
                f"'{bundle}' takes no prompts; choose a bundle that does, such as lesion_mobile_sam."
            )
        parts = folder.parts("network", "canvas", "threshold", "amp", **overrides)
        return cls(parts["network"], parts["canvas"], keep, parts["threshold"], parts["amp"])

    def refine(
        self,
        photo: str | os.PathLike[str] | np.ndarray,
        points: Sequence[Point] = (),
        labels: Sequence[int] = (),
        box: Box | None = None,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Segment what the prompts point at.

        Args:
            photo: its path, or uint8 (H, W, 3), RGB.
            points: (x, y) of each click in pixels of the photo, all clicks so far.
            labels: 1 for each click on the lesion, 0 for each beside it.
            box: (left, top, right, bottom) around the lesion in pixels of the photo.
            mask: (H, W), 0 and not 0: a mask to set out from, such as the answer to the clicks before this one or
                another bundle's; an answer of this session counts with the certainty of each of its pixels.

        Returns:
            uint8 (H, W) of 0 and 1.

        Raises:
            InputError: the photo cannot be read, there is no prompt at all, or points, labels, box or mask do not
                fit each other or the photo.
        """
        with self._lock, torch.inference_mode(), autocast(self.device, self.half):
            known = self._known(photo)
            height, width = known.size
            if mask is not None and mask.shape != known.size:
                raise InputError(
                    f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels, but the photo is {width} x {height}; "
                    "they must agree."
                )
            boxes = moved_points = moved_labels = None
            if mask is None or box is not None or len(points):
                prompt = Prompt(box, tuple(points), tuple(labels)).to_input(
                    self.preprocess.geometry(known.size)
                )
                boxes, moved_points, moved_labels = stacked([prompt], self.device)
            logits = self.network.decode_tensors(
                known.embedding, boxes, moved_points, moved_labels, self._prior(known, mask)
            )
            known.logits = logits.float()
            probability = self.preprocess.at_photo(known.logits[0], known.size)
            known.mask = (probability[0] >= self.threshold).numpy().astype(np.uint8)
            return known.mask.copy()

    def _known(self, photo: str | os.PathLike[str] | np.ndarray) -> _Photo:
        """The photo that is kept, embedded where none is."""
        key = _key(photo)
        if key not in self._photos:
            if isinstance(photo, np.ndarray):
                pixels = torch.from_numpy(photo.transpose(2, 0, 1).copy())
            else:
                pixels = self._load({"image": os.fspath(photo)})["image"]
            if self.cache is None or isinstance(photo, np.ndarray):
                image = self.preprocess({"image": pixels})["image"].as_tensor()
                embedding = self.network.encode(image[None].to(self.device))
            else:
                embedding = self.cache.get(photo)[None].to(self.device)
            self._photos[key] = _Photo((int(pixels.shape[1]), int(pixels.shape[2])), embedding.float())
        self._photos.move_to_end(key)
        while len(self._photos) > self.keep:
            self._photos.popitem(last=False)
        return self._photos[key]

    def _prior(self, known: _Photo, mask: np.ndarray | None) -> torch.Tensor | None:
        """A mask as the logits that the prompt encoder takes, ``(1, 1, 4h, 4w)``."""
        if mask is None:
            return None
        if known.mask is not None and np.array_equal(mask != 0, known.mask):
            return known.logits
        reduced = self.preprocess.mask((mask != 0).astype(np.uint8), self.network.mask_factor)
        sides = torch.from_numpy(reduced.astype(np.float32) * 2 - 1)
        return (sides * _MASK_LOGIT).to(self.device)[None, None]


def _key(photo: str | os.PathLike[str] | np.ndarray) -> str:
    if isinstance(photo, np.ndarray):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise InputError(
                f"the photo is {photo.dtype} of shape {photo.shape}, but uint8 (H, W, 3) is expected."
            )
        return hashlib.sha256(repr(photo.shape).encode() + photo.tobytes()).hexdigest()
    check_file(Path(photo))
    return hashlib.sha256(Path(photo).read_bytes()).hexdigest()

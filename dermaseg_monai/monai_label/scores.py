"""Uncertainty of a bundle about photos."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.data.photos import PhotoLoader
from dermaseg_monai.inferers import FlipInferer, MapInferer
from dermaseg_monai.inferers.flips import AXES
from dermaseg_monai.inferers.maps import predict_maps
from dermaseg_monai.transforms import Entropyd, ForegroundProbabilityd
from dermaseg_monai.utils.files import write_text
from dermaseg_monai.utils.tensors import plain


def written_at(bundle: str | os.PathLike[str]) -> int:
    """When a bundle's weights were written, in ns; 0 while it has none."""
    weights = BundleFolder(Path(bundle)).weights
    return 0 if weights is None else weights.stat().st_mtime_ns


class Scores:
    """The uncertainty of photos under a bundle's present weights, kept in ``<bundle>/uncertainty.json``.

    A file of our own rather than MONAI Label's list of photos: scoring runs in a process beside the server's,
    and both writing one list might lose a label.

    Args:
        bundle: the bundle's folder.
    """

    def __init__(self, bundle: str | os.PathLike[str]) -> None:
        self.bundle = Path(bundle)
        self.path = self.bundle / "uncertainty.json"

    def read(self) -> dict[str, dict[str, Any]]:
        """Per photo ``uncertainty``, the ``weights`` it was computed with, and when (``ts``, in s)."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}

    def missing(self, images: Sequence[str]) -> list[str]:
        """Those of ``images`` that were not scored with the present weights; none while there are no weights."""
        scores, weights = self.read(), written_at(self.bundle)
        return [image for image in images if weights and scores.get(image, {}).get("weights") != weights]

    def add(self, uncertainties: Mapping[str, float], weights: int) -> None:
        """Keep what was computed with ``weights``."""
        entry = {"weights": weights, "ts": int(time.time())}
        new = {image: {"uncertainty": value, **entry} for image, value in uncertainties.items()}
        write_text(self.path, json.dumps(self.read() | new, indent=1) + "\n")


def uncertainties(
    bundle: str | os.PathLike[str], photos: Sequence[Mapping[str, str]], device: str
) -> Iterator[tuple[str, float]]:
    """Compute the uncertainty of a bundle about each photo.

    A network with an uncertainty map of its own is asked for it; of any other, the binary entropy in bits of
    the mean over the photo and its three mirror images is taken (of a prompted one, whose prompt belongs to the
    photo as it is, over the photo alone). Maps of a lesion are summed and divided by the pixels of the
    predicted lesion, as in :class:`dermaseg_monai.handlers.UncertaintyScores`; maps of attributes, which a
    photo may well lack, are averaged over all pixels and attributes.

    Args:
        bundle: its folder, with weights.
        photos: ``id`` and ``image`` (path) of each.
        device: where to compute.

    Yields:
        Id and uncertainty of each photo that can be read.

    Raises:
        InputError: none of the photos can be read.
    """
    folder = BundleFolder(Path(bundle))
    parts = folder.parts("network", "mode", "amp", "preprocessing", device=device)
    network, mode, amp = parts["network"].eval(), parts["mode"], parts["amp"]
    views = () if folder.promptable else tuple(AXES)
    inferer = MapInferer() if hasattr(network, "predict_maps") else FlipInferer(views, mode)
    dataset = Dataset(list(photos), parts["preprocessing"])
    steps = (ForegroundProbabilityd("pred", mode=mode), Entropyd("pred"))
    for batch in PhotoLoader(dataset, batch_size=1):
        (item,) = batch["items"]
        # as a MetaTensor: prompts of a photo travel in its meta
        with torch.inference_mode():
            maps = predict_maps(item["image"][None].to(device), network, inferer, amp)
        result: dict[Hashable, Any] = {name: plain(values)[0] for name, values in maps.items()}
        for step in steps:
            result = step(result)
        yield item["id"], _doubt(result["uncertainty"], result["pred"], mode)


def _doubt(uncertainty: torch.Tensor, probability: torch.Tensor, mode: str) -> float:
    if mode == "multilabel":
        return float(uncertainty.mean())
    return float(uncertainty.sum() / (probability >= 0.5).sum().clamp(min=1))

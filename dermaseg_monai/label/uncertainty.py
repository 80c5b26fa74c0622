"""Active learning: which photo would teach the network most?"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import Dataset
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.utils.others.generic import name_to_device

from dermaseg_monai.data.photos import PhotoLoader
from dermaseg_monai.engines import FlipInferer, MapInferer, predict_maps
from dermaseg_monai.engines.inferers import AXES
from dermaseg_monai.errors import InputError
from dermaseg_monai.files import write_text
from dermaseg_monai.transforms import Entropyd, Foregroundd

logger = logging.getLogger(__name__)


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

    @property
    def weights(self) -> int:
        """When the bundle's weights were written, in ns; 0 while there are none."""
        path = self.bundle / "models" / "model.pt"
        return path.stat().st_mtime_ns if path.is_file() else 0

    def read(self) -> dict[str, dict[str, Any]]:
        """Per photo ``uncertainty``, the ``weights`` it was computed with, and when (``ts``, in s)."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}

    def missing(self, images: Sequence[str]) -> list[str]:
        """Those of ``images`` that were not scored with the present weights; none while there are no weights."""
        scores, weights = self.read(), self.weights
        return [image for image in images if weights and scores.get(image, {}).get("weights") != weights]

    def add(self, uncertainties: Mapping[str, float], weights: int) -> None:
        """Keep what was computed with ``weights``."""
        entry = {"weights": weights, "ts": int(time.time())}
        new = {image: {"uncertainty": value, **entry} for image, value in uncertainties.items()}
        write_text(self.path, json.dumps(self.read() | new, indent=1) + "\n")


class UncertaintyScoring(ScoringMethod):
    """Score the photos that have no final label, with each bundle or the one that the request names.

    Args:
        bundles: folders by name.
    """

    def __init__(self, bundles: Mapping[str, str]) -> None:
        super().__init__(
            "Uncertainty of each photo: the network's own map, or the entropy over mirrored views"
        )
        self.bundles = bundles

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Score.

        Args:
            request: ``model`` chooses one bundle, ``device`` where to compute.
            datastore: has the photos.

        Returns:
            Per bundle how many photos were scored, and how many had been already (or cannot be read).
        """
        chosen = [request["model"]] if request.get("model") else list(self.bundles)
        device = name_to_device(request.get("device", "cuda"))
        return {name: self._score(_bundle(self.bundles, name), datastore, device) for name in chosen}

    def _score(self, bundle: str, datastore: Datastore, device: str) -> dict[str, int]:
        scores = Scores(bundle)
        images = datastore.get_unlabeled_images()
        missing, weights = scores.missing(images), scores.weights
        if missing:
            photos = [{"id": image, "image": datastore.get_image_uri(image)} for image in missing]
            found = uncertainties(bundle, photos, device)
            # what cannot be read is offered last, and not tried again
            scores.add({image: found.get(image, 0.0) for image in missing}, weights)
        return {"scored": len(missing), "skipped": len(images) - len(missing)}


class MostUncertain(Strategy):
    """Offer the photo without a final label about which the network is least certain.

    Photos that were offered since they were scored come last, so that one that is passed over makes room for
    the next and two annotators get two photos; photos that were not scored yet come after those that were.

    Args:
        bundles: folders by name; the first is asked unless the request names another.
    """

    def __init__(self, bundles: Mapping[str, str]) -> None:
        super().__init__("Photos in the order of the network's uncertainty, as the last scoring found it")
        self.bundles = bundles

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose: ``id`` and ``uncertainty`` (None before it was scored), or None when all photos are labelled.

        Args:
            request: ``strategy``, the name this one goes by; ``model`` chooses a bundle.
            datastore: has the photos.
        """
        images = datastore.get_unlabeled_images()
        if not images:
            return None
        scores = Scores(_bundle(self.bundles, request.get("model") or next(iter(self.bundles)))).read()

        def rank(image: str) -> tuple[int, float]:
            score = scores.get(image, {"uncertainty": -1.0, "ts": 0})
            offered = datastore.get_image_info(image).get("strategy", {}).get(request["strategy"], {})
            since = offered.get("ts", 0)
            return (since if since >= score["ts"] else 0), -score["uncertainty"]

        image = min(images, key=rank)
        return {"id": image, "uncertainty": scores.get(image, {}).get("uncertainty")}


def uncertainties(
    bundle: str | os.PathLike[str], photos: Sequence[Mapping[str, str]], device: str
) -> dict[str, float]:
    """How uncertain a bundle is about each photo.

    A network with an uncertainty map of its own is asked for it; of any other, the binary entropy in bits of
    the mean over the photo and its three mirror images is taken. Maps of a lesion are summed and divided by
    the pixels of the predicted lesion, as in :class:`dermaseg_monai.engines.UncertaintyScores`; maps of
    attributes, which a photo may well lack, are averaged over all pixels and attributes.

    Args:
        bundle: its folder, with weights.
        photos: ``id`` and ``image`` (path) of each.
        device: where to compute.

    Returns:
        Uncertainty by id, without the photos that cannot be read.
    """
    config = ConfigParser.load_config_file(Path(bundle) / "configs" / "inference.json")
    parser = ConfigParser(config | {"bundle_root": os.fspath(bundle), "device": device})
    network = parser.get_parsed_content("network").eval()
    mode, amp = parser.get_parsed_content("mode"), parser.get_parsed_content("amp")
    inferer = MapInferer() if hasattr(network, "predict_maps") else FlipInferer(tuple(AXES), mode)
    dataset = Dataset(list(photos), parser.get_parsed_content("preprocessing"))
    steps = (Foregroundd("pred", mode=mode), Entropyd("pred"))
    found = {}
    try:
        with torch.inference_mode():
            for batch in PhotoLoader(dataset, parser.get_parsed_content("batch_size")):
                maps = predict_maps(batch["image"].to(device), network, inferer, amp)
                for index, item in enumerate(batch["items"]):
                    result: dict[Hashable, Any] = {name: values[index] for name, values in maps.items()}
                    for step in steps:
                        result = step(result)
                    found[item["id"]] = _doubt(result["uncertainty"], result["pred"], mode)
    except InputError as error:
        logger.warning("%s", error)  # none of the photos can be read
    return found


def _doubt(uncertainty: torch.Tensor, probability: torch.Tensor, mode: str) -> float:
    if mode == "multilabel":
        return float(uncertainty.mean())
    return float(uncertainty.sum() / (probability >= 0.5).sum().clamp(min=1))


def _bundle(bundles: Mapping[str, str], name: str) -> str:
    if name not in bundles:
        raise InputError(f"there is no model '{name}' on this server; it has {', '.join(bundles)}.")
    return bundles[name]

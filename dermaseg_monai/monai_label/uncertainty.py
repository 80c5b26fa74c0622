"""Active learning: the photos that the network is least certain about come first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.utils.others.generic import name_to_device

from dermaseg_monai.monai_label.scores import Scores, uncertainties, written_at
from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

_AT_ONCE = 32  # photos from one writing of the scores to the next


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
        scores, images = Scores(bundle), datastore.get_unlabeled_images()
        missing, weights = scores.missing(images), written_at(bundle)
        if missing:
            scored = uncertainties(
                bundle, [{"id": image, "image": datastore.get_image_uri(image)} for image in missing], device
            )
            unread = set(missing)
            try:
                # in parts: a long scoring serves while it runs, and one that is stopped keeps what it found
                while part := dict(islice(scored, _AT_ONCE)):
                    scores.add(part, weights)
                    unread -= part.keys()
            except InputError as error:
                logger.warning("%s", error)  # none can be read
            # what cannot be read is offered last, and not tried again
            scores.add(dict.fromkeys(unread, 0.0), weights)
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


def _bundle(bundles: Mapping[str, str], name: str) -> str:
    if name not in bundles:
        raise InputError(f"there is no model '{name}' on this server; it has {', '.join(bundles)}.")
    return bundles[name]

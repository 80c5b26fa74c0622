"""A bundle's own training as a task of MONAI Label."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.train.bundle import BundleTrainTask

from dermaseg_monai.bundle.command_line import install_error_messages
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import stem_of

OPTIONS = ("learning_rate", "batch_size")
"""Ids of train.json that a client may set beside MONAI Label's own options."""

Items = list[dict[str, Any]]


class PhotoTrain(BundleTrainTask):
    """Train a bundle by its ``train.json`` on the photos that have a final label.

    Where MONAI Label's own task would read the weights by a handler that passes over what does not fit, this
    one uses the config's ``start_from``; a training that was stopped is not taken up again, since its labels
    have changed; decoded pixels are kept no longer than the training takes; and so few labels that one side
    of the split would be empty serve on both sides.

    Args:
        path: the bundle's folder.
        conf: what the server was started with.
    """

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Args:
            request: ``max_epochs``, ``val_split`` (share of the labels, 0 to 1), ``pretrained`` (start from
                the weights there are, or else from the bundle's ImageNet encoder, where it has one; otherwise from
                nothing), ``device``, ``learning_rate``, ``batch_size``.
            datastore: has the photos and their final labels.

        Raises:
            InputError: there is no final label, or a label is no mask.
        """
        install_error_messages()
        weights = os.path.join(self.bundle_path, "models", "model.pt")
        asked = {name: request[name] for name in OPTIONS if name in request}
        if request.get("pretrained", True):
            if os.path.isfile(weights):
                asked["start_from"] = weights
        elif "encoder_start" in self.bundle_config:
            asked["encoder_start"] = "$None"  # as an expression, since MONAI drops None
        with tempfile.TemporaryDirectory(prefix="dermaseg-") as cache_dir:
            self._asked = {"resume": False, "cache_dir": cache_dir, **asked}
            return super().__call__(request, datastore)

    def config(self) -> dict[str, Any]:
        """The options that a client shows, with their defaults."""
        options = super().config()
        del options["model_filename"]
        return options | {name: self.bundle_config.get(name) for name in OPTIONS}

    def _fetch_datalist(self, request: dict[str, Any], datastore: Datastore) -> Items:
        items = super()._fetch_datalist(request, datastore)
        return [{"id": stem_of(item["image"]), **item} for item in items]

    def _partition_datalist(
        self, datalist: Items, request: dict[str, Any], shuffle: bool = False
    ) -> tuple[Items, Items]:
        if not datalist:
            raise InputError(
                "no photo has a final label yet; save at least one, better ten, before training."
            )
        training, validation = super()._partition_datalist(datalist, request, shuffle)
        return training or datalist, validation or datalist

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: Sequence[Any]) -> None:
        """Leave the handlers alone: ``start_from`` loads the weights."""

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        overrides.update(self._asked)
        return overrides

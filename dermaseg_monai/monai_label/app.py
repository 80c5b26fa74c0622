"""The app that MONAI Label's server runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import monailabel
import torch
from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.utils.async_tasks.utils import processes
from monailabel.utils.others.generic import get_bundle_models

from dermaseg_monai.monai_label.infer import infer_task
from dermaseg_monai.monai_label.scores import Scores, written_at
from dermaseg_monai.monai_label.train import PhotoTrain
from dermaseg_monai.monai_label.uncertainty import MostUncertain, UncertaintyScoring
from dermaseg_monai.utils.errors import InputError, find_input_error


class LabelApp(MONAILabelApp):
    """Bundles of this collection, chosen by ``--conf models`` like those of MONAI Label's app monaibundle.

    A bundle without weights can be trained; it joins those that segment as soon as it has some.

    Args:
        app_dir: folder with the bundles in ``model/``.
        studies: folder of photos.
        conf: what the server was started with.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.models: dict[str, str] = get_bundle_models(app_dir, conf)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=f"DermaSeg-MONAI on MONAI Label {monailabel.__version__}",
            description="Outlines of skin lesions and dermoscopic attributes. For research; not a medical device.",
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The bundles that have weights."""
        return {name: infer_task(path, self.conf) for name, path in self.models.items() if written_at(path)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """All bundles."""
        return {name: PhotoTrain(path, self.conf) for name, path in self.models.items()}

    def init_strategies(self) -> dict[str, Strategy]:
        """The photo the network is least certain about, or MONAI Label's own choices."""
        return {"uncertainty": MostUncertain(self.models), "random": Random(), "first": First()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """What the strategy goes by."""
        return {"uncertainty": UncertaintyScoring(self.models)}

    def info(self) -> dict[str, Any]:
        """What a client is told."""
        self._find_new_weights()
        return super().info()

    def infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
        """Segment one photo: an image of the datastore by its name, or a file."""
        self._find_new_weights()
        return _answered(self._infer, request, datastore)

    def _infer(self, request: dict[str, Any], datastore: Any) -> Any:
        model, image = request.get("model"), request["image"]
        if model in self.models and model not in self._infers:
            raise InputError(f"'{model}' has no weights yet; train it with a few labels first.")
        if not os.path.exists(image) and not (datastore or self.datastore()).get_image_uri(image):
            raise InputError(f"there is no photo '{image}' on this server; upload it first.")
        return super().infer(request, datastore)

    def batch_infer(self, request: dict[str, Any], datastore: Any = None) -> Any:
        """Segment all photos, or those with or without a final label."""
        # on a machine without a GPU, MONAI Label would share the photos among none
        several = request.get("multi_gpu", True) and torch.cuda.device_count() > 0
        return super().batch_infer({**request, "multi_gpu": several}, datastore)

    def next_sample(self, request: dict[str, Any]) -> Any:
        """Choose the next photo to label."""
        return _answered(super().next_sample, request)

    def async_scoring(self, method: str | None, params: Any = None) -> Any:
        """Start a scoring; one that nobody asked for, only where there is something to score."""
        images = self.datastore().get_unlabeled_images()
        needed = any(Scores(path).missing(images) for path in self.models.values())
        if method or (needed and not processes("scoring")):
            return super().async_scoring(method, params)
        return {}

    def _find_new_weights(self) -> None:
        for name, path in self.models.items():
            if name not in self._infers and written_at(path):
                self._infers[name] = infer_task(path, self.conf)


def _answered(call: Callable[..., Any], *arguments: Any) -> Any:
    """The result of ``call``; what the client got wrong becomes an answer it can read, not a server error."""
    try:
        return call(*arguments)
    except MONAILabelException as error:
        raise HTTPException(status_code=400, detail=error.msg) from error
    except Exception as error:
        reason = find_input_error(error)
        if reason is None:
            raise
        raise HTTPException(status_code=400, detail=str(reason)) from error

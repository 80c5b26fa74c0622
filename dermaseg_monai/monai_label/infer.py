"""A bundle's own inference as a task of MONAI Label."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.tasks.infer.bundle import BundleConstants, BundleInferTask
from monailabel.utils.others.generic import name_to_device

from dermaseg_monai.bundle.folder import BundleFolder
from dermaseg_monai.inferers.maps import predict_maps
from dermaseg_monai.monai_label.scores import written_at
from dermaseg_monai.sam import PromptSession
from dermaseg_monai.sam.prompt import Box, Point
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

_DOUBT = ("confidence", "band_share", "unlikeness")


class _Constants(BundleConstants):
    """Where MONAI Label looks for a bundle's weights, without which a model counts as absent."""

    def __init__(self, path: str) -> None:
        self.path = path

    def model_pytorch(self) -> str:
        weights = BundleFolder(Path(self.path)).weights
        return "model.pt" if weights is None else weights.name


class PhotoInfer(BundleInferTask):
    """Segment one photo as the bundle's ``inference.json`` does, to the same mask.

    MONAI Label's own task would load ``network_def`` with whichever ``.pt`` file has the shortest name, run
    it in float32, and take an inferer's dictionary of maps for the prediction. This one takes the config's
    ``network`` (built anew when its weights have changed), its ``amp`` and the logits.

    Args:
        path: the bundle's folder, with weights (see :attr:`dermaseg_monai.bundle.folder.BundleFolder.weights`).
        conf: what the server was started with.
        type: where clients offer the model, a value of MONAI Label's ``InferType``.
    """

    def __init__(self, path: str, conf: Mapping[str, str], type: str = InferType.SEGMENTATION) -> None:
        # the mask is at the photo's size already, and its meta knows nothing of MONAI Label's "spatial_shape"
        super().__init__(path, dict(conf), const=_Constants(path), type=type, add_post_restore=False)
        self._config.pop("model_filename", None)
        self.network = None  # of network_def alone, without weights
        # the config's parser is one, while a batch may be inferred in several threads
        self._lock = threading.Lock()

    def __call__(self, request: dict[str, Any], callbacks: Any = None) -> Any:
        """Answer a request: the path of the mask's PNG file, and what there is to say about it."""
        with self._lock:
            return super().__call__(request, callbacks)

    def run_inferer(
        self, data: dict[str, Any], convert_to_batch: bool = True, device: str = "cuda"
    ) -> dict[str, Any]:
        """Predict ``data["image"]`` (3, h, w); puts the logits under ``pred`` and further maps beside them."""
        amp = self.bundle_config.get_parsed_content("amp")
        # as a MetaTensor: prompts of a photo travel in its meta
        image = data["image"][None].to(device)
        with torch.inference_mode():
            maps = predict_maps(image, self._get_network(device, data), self.inferer(data), amp)
        data.update({name: plain(values)[0] for name, values in maps.items()})
        return data

    def writer(self, data: dict[str, Any], extension: Any = None, dtype: Any = None) -> tuple[Any, Any]:
        """Write the mask; the result says how doubtful it is, where the bundle has a calibration."""
        file, result = super().writer(data, extension, dtype)
        return file, {**result, **{name: data[name] for name in _DOUBT if name in data}}

    def _get_network(self, device: str, data: Any) -> torch.nn.Module:
        changed = written_at(self.bundle_path)
        if self._networks.get(device, (None, None))[1] != changed:
            network = self.bundle_config.get_parsed_content("network", instantiate=True)
            self._networks[device] = (network.eval(), changed)
        return self._networks[device][0]


class ClickInfer(PhotoInfer):
    """Segment what a client's clicks and box point at, by a promptable bundle.

    Clients know such a model as DeepGrow's. They send ``foreground`` and ``background``, all points so far as
    [column, row] or [column, row, slice] in whole pixels, and ``roi``, [left, top, right, bottom] or the same with
    first and last slice. Embeddings are kept, so that only the first click on a photo waits for the image encoder;
    clicks that add to those before set out from the mask before. Without points and box, the prompt is the box of
    the mask of the bundle that ``predicted_by`` names.

    Args:
        path: the bundle's folder, with weights.
        conf: what the server was started with.
    """

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        super().__init__(path, conf, InferType.DEEPGROW)
        self._sessions: dict[str, tuple[torch.nn.Module, PromptSession]] = {}
        self._answered: dict[str, tuple[dict[Point, int], np.ndarray]] = {}

    def __call__(self, request: dict[str, Any], callbacks: Any = None) -> Any:
        """Answer a request: the path of the mask's PNG file, and what there is to say about it."""
        clicks = _clicks(request)
        box = _box(request.get("roi"))
        if not clicks and box is None:
            return super().__call__(request, callbacks)
        begin = time.monotonic()
        with self._lock:
            image = request["image"]
            before, mask = self._answered.get(image, ({}, None))
            continues = before and len(before) < len(clicks) and before.items() <= clicks.items()
            mask = self._session(request).refine(
                image, list(clicks), list(clicks.values()), box, mask if continues else None
            )
            self._answered = {image: (clicks, mask)}
        # files of MONAI Label have columns first
        data = {**self._config, **request, "image_path": image, "pred": mask.T}
        file, result = self.writer(data)
        total = round(time.monotonic() - begin, 3)
        return file, {**result, "label_names": self.labels, "latencies": {"total": total}}

    def _session(self, request: dict[str, Any]) -> PromptSession:
        device = name_to_device(request.get("device", "cuda"))
        network: Any = self._get_network(device, request)
        if self._sessions.get(device, (None, None))[0] is not network:
            names = ("canvas", "threshold", "amp")
            canvas, threshold, amp = (self.bundle_config.get_parsed_content(name) for name in names)
            session = PromptSession(network, canvas, threshold=threshold, amp=amp)
            self._sessions[device] = (network, session)
        return self._sessions[device][1]


def infer_task(path: str, conf: Mapping[str, str]) -> PhotoInfer:
    """The task of a bundle with weights: by clicks where it takes prompts, else by itself alone."""
    return ClickInfer(path, conf) if BundleFolder(Path(path)).promptable else PhotoInfer(path, conf)


def _clicks(request: Mapping[str, Any]) -> dict[Point, int]:
    """The clicks of a request, (x, y) of each pixel's centre, with 1 on the lesion and 0 beside it."""
    return {
        _centre(point, key): label
        for key, label in (("foreground", 1), ("background", 0))
        for point in request.get(key) or ()
    }


def _centre(point: Sequence[float], key: str) -> Point:
    try:
        return float(point[0]) + 0.5, float(point[1]) + 0.5
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{key} has the point {point!r}; give [column, row] in pixels.") from error


def _box(roi: Sequence[float] | None) -> Box | None:
    if not roi:
        return None
    try:
        left, top, right, bottom = (float(side) for side in roi[:4])
    except (TypeError, ValueError) as error:
        raise InputError(f"roi is {roi!r}; give [left, top, right, bottom] in pixels.") from error
    return left, top, right, bottom

"""A bundle's own inference as a task of MONAI Label."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import torch
from monailabel.tasks.infer.bundle import BundleConstants, BundleInferTask

from dermaseg_monai.engines import predict_maps
from dermaseg_monai.label.scores import weights_of, written_at


class _Constants(BundleConstants):
    """Where MONAI Label looks for a bundle's weights, without which a model counts as absent."""

    def __init__(self, path: str) -> None:
        self.path = path

    def model_pytorch(self) -> str:
        weights = weights_of(self.path)
        return "model.pt" if weights is None else weights.name


class PhotoInfer(BundleInferTask):
    """Segment one photo as the bundle's ``inference.json`` does, to the same mask.

    MONAI Label's own task would load ``network_def`` with whichever ``.pt`` file has the shortest name, run
    it in float32, and take an inferer's dictionary of maps for the prediction. This one takes the config's
    ``network`` (built anew when its weights have changed), its ``amp`` and the logits.

    Args:
        path: the bundle's folder, with weights (see :func:`dermaseg_monai.label.scores.weights_of`).
        conf: what the server was started with.
    """

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        # the mask is at the photo's size already, and its meta knows nothing of MONAI Label's "spatial_shape"
        super().__init__(path, dict(conf), const=_Constants(path), add_post_restore=False)
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
        data.update({name: values.as_subclass(torch.Tensor)[0] for name, values in maps.items()})
        return data

    def _get_network(self, device: str, data: Any) -> torch.nn.Module:
        changed = written_at(self.bundle_path)
        if self._networks.get(device, (None, None))[1] != changed:
            network = self.bundle_config.get_parsed_content("network", instantiate=True)
            self._networks[device] = (network.eval(), changed)
        return self._networks[device][0]

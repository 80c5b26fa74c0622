"""A bundle's own inference as a task of MONAI Label."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import torch
from monailabel.tasks.infer.bundle import BundleInferTask

from dermaseg_monai.engines import predict_maps


class PhotoInfer(BundleInferTask):
    """Segment one photo as the bundle's ``inference.json`` does, to the same mask.

    MONAI Label's own task would load ``network_def`` with whichever ``.pt`` file has the shortest name, run
    it in float32, and take an inferer's dictionary of maps for the prediction. This one takes the config's
    ``network`` (built anew when ``model.pt`` has changed), its ``amp`` and the logits.

    Args:
        path: the bundle's folder, with ``models/model.pt``.
        conf: what the server was started with.
    """

    def __init__(self, path: str, conf: Mapping[str, str]) -> None:
        # the mask is at the photo's size already, and its meta knows nothing of MONAI Label's "spatial_shape"
        super().__init__(path, dict(conf), add_post_restore=False)
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
        image = torch.stack([data["image"].as_subclass(torch.Tensor)]).to(device)
        amp = self.bundle_config.get_parsed_content("amp")
        with torch.inference_mode():
            maps = predict_maps(image, self._get_network(device, data), self.inferer(data), amp)
        data.update({name: values[0] for name, values in maps.items()})
        return data

    def _get_network(self, device: str, data: Any) -> torch.nn.Module:
        changed = os.stat(self.get_path()).st_mtime_ns
        if self._networks.get(device, (None, None))[1] != changed:
            network = self.bundle_config.get_parsed_content("network", instantiate=True)
            self._networks[device] = (network.eval(), changed)
        return self._networks[device][0]

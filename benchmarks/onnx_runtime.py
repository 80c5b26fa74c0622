"""ONNX Runtime on the CPU in float32 and in 8-bit integers against PyTorch: milliseconds and Dice.

    python benchmarks/onnx_runtime.py --dataset_dir PREPARED [--bundle lesion_mobilenetv2_unet] [--json]

The bundle's network is exported by ``monai.bundle onnx_export`` and quantised by ``dermaseg quantise`` on training
photos. Every validation photo is loaded once; then each runtime takes them one by one with all cores, in ``repeats``
rounds in turn. Milliseconds are medians of the network call alone; Dice is the mean over the photos at the network's
size, with no post-processing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import fire
import numpy as np
import onnxruntime
import torch
from monai.bundle import onnx_export
from monai.bundle.config_parser import ConfigParser
from report import show

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.bundle.weights import load_weights
from dermaseg_monai.data import load_datalist
from dermaseg_monai.inference.quantise import network_inputs, quantise
from dermaseg_monai.metrics import SegmentationMetric
from dermaseg_monai.transforms import Fitd, LoadMaskd

Network = Callable[[np.ndarray], np.ndarray]


def main(
    dataset_dir: str,
    bundle: str = "lesion_mobilenetv2_unet",
    photos: int | None = None,
    repeats: int = 3,
    json: bool = False,
) -> None:
    """Measure one bundle."""
    root = bundle_folder(bundle)
    config = ConfigParser.load_config_file(str(root / "configs" / "inference.json"))
    size = tuple(config["image_size"])
    items = load_datalist(dataset_dir, "validation")[:photos]
    images = list(network_inputs([Path(item["image"]) for item in items], size))
    labels = [_label(item["label"], size) for item in items]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        onnx_export(
            "network_def",
            filepath=str(folder / "float32.onnx"),
            ckpt_file=str(root / "models" / "model.pt"),
            meta_file=str(root / "configs" / "metadata.json"),
            config_file=str(root / "configs" / "inference.json"),
            # MONAI 1.6.1 would leave a copy of the weights in the folder of temporary files
            converter_kwargs={"filename": str(folder / "exported.onnx")},
        )
        (folder / "training").mkdir()
        for item in load_datalist(dataset_dir, "training"):
            (folder / "training" / Path(item["image"]).name).symlink_to(Path(item["image"]).resolve())
        quantise(folder / "float32.onnx", folder / "training", folder / "int8.onnx")
        network = load_weights(_network(config), str(root / "models" / "model.pt"))
        networks: dict[str, Network] = {
            "PyTorch, float32": _torch(network, amp=False),
            "PyTorch, bfloat16": _torch(network, amp=True),
            "ONNX Runtime, float32": _onnx(folder / "float32.onnx"),
            "ONNX Runtime, int8": _onnx(folder / "int8.onnx"),
        }
        times: dict[str, list[float]] = {name: [] for name in networks}
        scores = {}
        for _ in range(repeats):
            for name, run in networks.items():
                metric = SegmentationMetric("dice")
                for image, label in zip(images, labels, strict=True):
                    started = time.perf_counter()
                    logits = run(image)
                    times[name].append(time.perf_counter() - started)
                    metric(torch.from_numpy(logits) > 0, label)
                scores[name] = float(metric.aggregate())
    milliseconds = {name: 1000 * statistics.median(values) for name, values in times.items()}
    rows = [
        {
            "what": name,
            "ms/photo": value,
            "times PyTorch, float32": milliseconds["PyTorch, float32"] / value,
            "Dice": f"{scores[name]:.5f}",
        }
        for name, value in milliseconds.items()
    ]
    show(f"network alone, {bundle}, {len(images)} validation photos, {size[0]} x {size[1]}", rows, json)


def _label(path: str, size: tuple[int, int]) -> torch.Tensor:
    item = LoadMaskd("label")({"label": path})
    return torch.as_tensor(Fitd("label", size=size)(item)["label"])[None]


def _network(config: dict) -> torch.nn.Module:
    parser = ConfigParser(config)
    return parser.get_parsed_content("network_def")


def _torch(network: torch.nn.Module, amp: bool) -> Network:
    network = network.eval().to(memory_format=torch.channels_last)

    def run(image: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(image).to(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=amp):
            return network(batch).float().numpy()

    return run


def _onnx(path: Path) -> Network:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]


if __name__ == "__main__":
    fire.Fire(main)

"""Training throughput: the bare step, the bundle as users run it, the usual MONAI recipe, and a plain DataLoader.

    python benchmarks/training.py --bundle lesion_mobilenetv2_unet --images 192 --epochs 3 [--size "[256,256]"] [--json]

All four train the same network on the same phantoms with the bundle's batch size, optimiser and loss, in one
process after another. Images per second are those of the epochs after the first (which decodes, caches and warms
up), with the median over epochs; validation is left out of the time.

- bare step: forward, loss, backward and optimiser step on one batch that stays on the device, in the bundle's
  precision; on a GPU also captured as a CUDA graph.
- bundle: train.json through ``monai.bundle``, with augmentation, average, handlers and metrics; on a GPU also with
  ``cuda_graph``.
- MONAI: train.json with dictionary_train.json: CacheDataset, worker processes, dictionary transforms.
- DataLoader: the network of segmentation_models.pytorch nearest to it (U-Net on MobileNetV2) or the bundle's own,
  under a plain PyTorch loop: a Dataset of files, torchvision transforms, worker processes, float32.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from report import show
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, read_image
from torchvision.transforms import v2

from dermaseg_monai.data import load_datalist, prepare
from dermaseg_monai.data.phantoms import write_phantoms
from dermaseg_monai.engines.graphs import GraphedStep
from dermaseg_monai.zoo.folders import bundle_folder

WORKERS = 2


def main(
    bundle: str = "lesion_mobilenetv2_unet",
    images: int = 192,
    epochs: int = 3,
    size: list[int] | None = None,
    batch_size: int | None = None,
    json: bool = False,
) -> None:
    """Measure one bundle."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_phantoms(home / "official", count=round(images / 0.7) + 2)
        prepare(home / "official", home / "prepared")
        overrides: dict[str, Any] = {"image_size": size} if size else {}
        overrides |= {"batch_size": batch_size} if batch_size else {}
        makers: dict[str, Callable[[], float]] = {
            "bare step": lambda: bare(bundle, home, epochs, overrides),
            "bundle": lambda: workflow(bundle, ["train"], home, epochs, overrides),
        }
        if torch.cuda.is_available():
            graphed = overrides | {"cuda_graph": True}
            makers |= {
                "bare step, CUDA graph": lambda: bare(bundle, home, epochs, graphed),
                "bundle, CUDA graph": lambda: workflow(bundle, ["train"], home, epochs, graphed),
            }
        makers |= {
            "MONAI recipe": lambda: workflow(bundle, ["train", "dictionary_train"], home, epochs, overrides),
            "DataLoader": lambda: plain(bundle, home, epochs, overrides),
        }
        rows = []
        for name, measure in makers.items():
            print(f"measuring {name} ...", file=sys.stderr)
            rows.append({"bundle": bundle, "what": name, "images/s": measure()})
        for row in rows:
            row["share of bare step"] = row["images/s"] / rows[0]["images/s"]
        show(f"training, {images} images, {epochs} epochs", rows, json)


def build(
    bundle: str, names: list[str], home: Path, epochs: int, overrides: dict[str, Any]
) -> ConfigWorkflow:
    """The workflow of a bundle in a fresh output folder."""
    folder = bundle_folder(bundle)
    output = tempfile.mkdtemp(dir=home)
    flow = ConfigWorkflow(
        [str(folder / "configs" / f"{name}.json") for name in names],
        workflow_type="train",
        logging_file=False,
        bundle_root=str(folder),
        dataset_dir=str(home / "prepared"),
        ckpt_dir=f"{output}/models",
        output_dir=output,
        max_epochs=epochs + 1,
        val_interval=epochs + 1,
        **overrides,
        **({"num_workers": WORKERS} if "dictionary_train" in names else {}),
    )
    flow.initialize()
    return flow


def workflow(bundle: str, names: list[str], home: Path, epochs: int, overrides: dict[str, Any]) -> float:
    """Images per second of ``monai.bundle run training``, from epoch start to epoch end without validation."""
    flow = build(bundle, names, home, epochs, overrides)
    trainer = flow.trainer
    times: list[float] = []
    started = [0.0]

    def start(_: Any) -> None:
        started[0] = time.perf_counter()

    def stop(engine: Any) -> None:
        if engine.state.iteration % engine.state.epoch_length == 0:
            float(engine.state.output["loss"])  # wait for the device
            times.append(time.perf_counter() - started[0])

    trainer.add_event_handler(Events.EPOCH_STARTED, start)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    flow.run()
    seen = trainer.state.epoch_length * flow.parser.get_parsed_content("batch_size")
    return seen / statistics.median(times[1:])


def bare(bundle: str, home: Path, epochs: int, overrides: dict[str, Any]) -> float:
    """Images per second of the step alone, on one normalised batch."""
    content = build(bundle, ["train"], home, epochs, overrides).parser.get_parsed_content
    network, loss, optimizer, device = (content(name) for name in ("network", "loss", "optimizer", "device"))
    amp, loader = content("amp"), content("train#dataloader")

    def step(image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            prediction = network(image)
            value = loss(prediction, label)
        value.backward()
        return prediction, value.detach()

    run = GraphedStep(step, network.parameters()) if overrides.get("cuda_graph") else step
    batch = next(iter(loader))
    network.train()
    steps, times = len(loader), []
    for _ in range(epochs + 1):
        started = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            _, value = run(batch["image"], batch["label"])
            optimizer.step()
        float(value)
        times.append(time.perf_counter() - started)
    return steps * len(batch["image"]) / statistics.median(times[1:])


class Files(Dataset):
    """Photos and masks from files, augmented by torchvision."""

    def __init__(self, items: list[dict[str, Any]], size: list[int]) -> None:
        self.items = items
        self.resize = v2.Resize(size, antialias=True)
        self.augment = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.RandomAffine(180, translate=(0.1, 0.1), scale=(0.85, 1.2)),
            ]
        )
        self.colour = v2.Compose(
            [
                v2.ColorJitter(0.2, 0.2, 0.2),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        from torchvision.tv_tensors import Image, Mask

        image = Image(read_image(self.items[index]["image"], ImageReadMode.RGB))
        mask = Mask(read_image(self.items[index]["label"], ImageReadMode.GRAY))
        image, mask = self.augment(self.resize(image), self.resize(mask))
        return self.colour(image), mask > 127


def plain(bundle: str, home: Path, epochs: int, overrides: dict[str, Any]) -> float:
    """Images per second of a plain PyTorch loop over a DataLoader."""
    flow = build(bundle, ["train"], home, epochs, overrides)
    content = flow.parser.get_parsed_content
    size, batch_size, device, loss = (
        content(name) for name in ("image_size", "batch_size", "device", "loss")
    )
    if bundle == "lesion_mobilenetv2_unet":
        import segmentation_models_pytorch as smp

        network = smp.Unet("mobilenet_v2", encoder_weights=None).to(device)
    else:
        network = content("network_def").to(device)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    dataset = Files(load_datalist(home / "prepared", "training"), list(size))
    loader = DataLoader(
        dataset, batch_size, shuffle=True, num_workers=WORKERS, drop_last=True, pin_memory=True
    )
    network.train()
    times = []
    for _ in range(epochs + 1):
        started = time.perf_counter()
        for image, mask in loader:
            optimizer.zero_grad()
            value = loss(network(image.to(device)), mask.to(device))
            value.backward()
            optimizer.step()
            value.item()
        times.append(time.perf_counter() - started)
    return len(loader) * batch_size / statistics.median(times[1:])


if __name__ == "__main__":
    fire.Fire(main)

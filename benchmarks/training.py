r"""Training throughput: the bare step, the bundle as users run it, the usual MONAI recipe, and a plain DataLoader.

    python benchmarks/training.py --bundle lesion_mobilenetv2_unet --images 192 --epochs 3 [--size "[256,256]"] \
        [--repeats 3] [--dataset_dir DATA] [--workers 2] [--only "bare step|bundle"] [--apart False] [--json]

All train the same network on the same images (phantoms, or the first of a prepared folder) with the bundle's batch
size, optimiser and loss, ``repeats`` times in turn, each in a process of its own unless ``--apart False`` saves the
time of starting them. Images per second are those of the epochs after the first (which decodes, caches and
warms up), medians over epochs and then over repeats; validation is left out of the time.

- bare step: forward, loss, backward and optimiser step on one batch that stays on the device, in the bundle's
  precision; on a GPU also captured as a CUDA graph, on a CPU also with freed memory kept, as the bundle does it.
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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import fire
import torch
from fresh_process import in_fresh_process
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from report import show
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, read_image
from torchvision.transforms import v2

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets import prepare
from dermaseg_monai.datasets.phantoms import write_phantoms
from dermaseg_monai.engines.cuda_graph import GraphedStep
from dermaseg_monai.engines.malloc import keep_freed_memory
from dermaseg_monai.utils.precision import autocast


def main(bundle: str | Sequence[str] = "lesion_mobilenetv2_unet", **settings: Any) -> None:
    """Measure one bundle, or several, separated by commas; the settings are those of ``measure``."""
    for name in bundle.split(",") if isinstance(bundle, str) else bundle:
        measure(name, **settings)


def measure(
    bundle: str,
    images: int = 192,
    epochs: int = 3,
    size: list[int] | None = None,
    batch_size: int | None = None,
    repeats: int = 3,
    dataset_dir: str | None = None,
    workers: int = 2,
    only: str | None = None,
    apart: bool = True,
    json: bool = False,
) -> None:
    """Measure one bundle."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        overrides: dict[str, Any] = {"image_size": size} if size else {}
        if dataset_dir is None:
            write_phantoms(folder / "official", count=round(images / 0.7) + 2)
            prepare(folder / "official", folder / "prepared")
        else:
            (folder / "prepared").symlink_to(Path(dataset_dir).absolute())
            overrides["data_fraction"] = images / len(load_datalist(dataset_dir, "training"))
        overrides |= {"batch_size": batch_size} if batch_size else {}
        eager = overrides | {"cuda_graph": False}
        makers: dict[str, tuple[Callable[..., float], list[Any]]] = {
            "bare step": (bare, [eager]),
            "bundle": (workflow, [eager, ["train"]]),
        }
        if torch.cuda.is_available():
            graphed = overrides | {"cuda_graph": True}
            makers |= {
                "bare step, CUDA graph": (bare, [graphed]),
                "bundle, CUDA graph": (workflow, [graphed, ["train"]]),
            }
        else:
            makers["bare step, memory kept"] = (bare, [eager, True])
        makers |= {
            "MONAI recipe": (workflow, [overrides | {"num_workers": workers}, ["train", "dictionary_train"]]),
            "DataLoader": (plain, [overrides, workers]),
        }
        if only is not None:
            makers = {name: makers[name] for name in only.split("|")}
        speeds: dict[str, list[float]] = {name: [] for name in makers}
        for turn in range(repeats):
            for name, (maker, arguments) in makers.items():
                print(f"{turn + 1} of {repeats}: {name} ...", file=sys.stderr)
                call = partial(maker, bundle, folder, epochs, *arguments)
                speeds[name].append(in_fresh_process(call) if apart else call())
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        first = next(iter(medians.values()))
        rows = [
            {"what": name, "images/s": speed, "share of the first": speed / first}
            for name, speed in medians.items()
        ]
        show(f"training, {bundle}, {images} images, {epochs} epochs", rows, json)


def build(
    bundle: str, folder: Path, epochs: int, overrides: dict[str, Any], names: list[str]
) -> ConfigWorkflow:
    """The workflow of a bundle in a fresh output folder."""
    root = bundle_folder(bundle)
    output = tempfile.mkdtemp(dir=folder)
    flow = ConfigWorkflow(
        [str(root / "configs" / f"{name}.json") for name in names],
        workflow_type="train",
        logging_file=False,
        bundle_root=str(root),
        dataset_dir=str(folder / "prepared"),
        ckpt_dir=f"{output}/models",
        output_dir=output,
        max_epochs=epochs + 1,
        encoder_start=None,
        val_interval=epochs + 1,
        **overrides,
    )
    flow.initialize()
    return flow


def workflow(bundle: str, folder: Path, epochs: int, overrides: dict[str, Any], names: list[str]) -> float:
    """Images per second of ``monai.bundle run training``, from epoch start to epoch end without validation."""
    flow = build(bundle, folder, epochs, overrides, names)
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


def bare(bundle: str, folder: Path, epochs: int, overrides: dict[str, Any], keep: bool = False) -> float:
    """Images per second of the step alone, on one normalised batch."""
    if keep:
        keep_freed_memory()
    content = build(bundle, folder, epochs, overrides, ["train"]).parser.get_parsed_content
    network, loss, optimizer, device = (content(name) for name in ("network", "loss", "optimizer", "device"))
    amp, loader = content("amp"), content("train#dataloader")

    def step(image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with autocast(device, amp):
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


def plain(bundle: str, folder: Path, epochs: int, overrides: dict[str, Any], workers: int) -> float:
    """Images per second of a plain PyTorch loop over a DataLoader."""
    flow = build(bundle, folder, epochs, overrides, ["train"])
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
    fraction = content("data_fraction")
    dataset = Files(load_datalist(folder / "prepared", "training", fraction=fraction), list(size))
    loader = DataLoader(
        dataset, batch_size, shuffle=True, num_workers=workers, drop_last=True, pin_memory=True
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

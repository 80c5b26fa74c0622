"""Augmenting a batch of photos and masks where it lies: this project against kornia.

    python benchmarks/augmentation.py --bundle lesion_mobilenetv2_unet [--repeats 50] [--json]

Both flip, turn, scale, shift and change the colours of the same uint8 batch, by the bundle's ranges, and return float
photos and masks of 0 and 1. They take turns, after a warm-up; medians count. Needs kornia (``pip install kornia``).
"""

from __future__ import annotations

import json as parser
import statistics
import time
from collections.abc import Callable

import fire
import torch
from kornia import augmentation
from kornia.constants import DataKey
from report import show

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.datasets.phantoms import render_phantom
from dermaseg_monai.transforms import BatchAugment


def main(bundle: str = "lesion_mobilenetv2_unet", repeats: int = 50, json: bool = False) -> None:
    """Measure one bundle's batch."""
    config = parser.loads((bundle_folder(bundle) / "configs" / "train.json").read_text())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    phantoms = [render_phantom(index, tuple(config["image_size"])) for index in range(config["batch_size"])]
    image = torch.stack([torch.from_numpy(phantom.image).permute(2, 0, 1) for phantom in phantoms]).to(device)
    label = torch.stack([torch.from_numpy(phantom.lesion)[None].to(torch.uint8) for phantom in phantoms]).to(
        device
    )
    augment = BatchAugment(**config["augment"])
    sequential = by_kornia(config["augment"])

    def ours() -> None:
        augment({"image": image, "label": label})

    def theirs() -> None:
        photos, masks = sequential(image.float() / 255, label.float())
        photos.mul_(255)
        masks = (masks >= 0.5).to(torch.uint8)

    runs: dict[str, Callable[[], None]] = {"this project": ours, "kornia": theirs}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 5):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn >= 5:
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        {"what": name, "ms/batch": 1000 * seconds, "times this project": seconds / medians["this project"]}
        for name, seconds in medians.items()
    ]
    show(f"augmentation, {bundle}, batches of {tuple(image.shape)}", rows, json)


def by_kornia(ranges: dict) -> augmentation.AugmentationSequential:
    """The bundle's augmentation in kornia's terms; its padding by reflection is that of the same grid sample."""
    colours = [ranges[name] for name in ("brightness", "contrast", "saturation", "hue")]
    return augmentation.AugmentationSequential(
        augmentation.ColorJiggle(*colours, p=1.0),
        augmentation.RandomHorizontalFlip(),
        augmentation.RandomVerticalFlip(),
        augmentation.RandomAffine(
            degrees=ranges["rotate"],
            translate=(ranges["shift"], ranges["shift"]),
            scale=tuple(ranges["scale"]),
            padding_mode=ranges["padding"],
            p=1.0,
        ),
        data_keys=[DataKey.INPUT, DataKey.MASK],
    )


if __name__ == "__main__":
    fire.Fire(main)

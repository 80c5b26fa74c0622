"""How long a batch will take, from what earlier runs took or from a short timing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from dermaseg_monai.studies.pace import FORWARD_SHARE, Estimate, expected, paces
from dermaseg_monai.studies.plan import Run
from dermaseg_monai.studies.record import read_history

_ISIC_2018 = {"training": 1816, "validation": 389}
_TIMED_BATCH = 4
_TIMED_SECONDS = 3.0


def estimate(runs: Sequence[Run], dataset_dir: str | None, device: str | None) -> list[Estimate]:
    """Estimate the time that each run still takes.

    Runs of the same variant in the same folder tell it best. Without them, a few training steps of
    the variant's network are timed, on the CPU with a small batch, and scaled to the images of an epoch; what
    loading and evaluation take is left out.

    Args:
        runs: the plan.
        dataset_dir: prepared folder, whose images are counted; None counts those of ISIC 2018.
        device: where the timing is made; None for the first GPU, or else the CPU.

    Returns:
        An estimate for each run.
    """
    sizes = _sizes(dataset_dir)
    known = paces(runs[0].runs_dir)
    timed: dict[str, float] = {}
    estimates = []
    for run in runs:
        variant = f"{run.study.name}/{run.variant.name}"
        measured = expected(run, [pace for pace in known if pace.variant == variant])
        if measured is None and run.study.weights is not None:
            measured = Estimate(0.0, "no training")
        if measured is None:
            left = max(0, run.planned_epochs - len(read_history(run.folder)))
            config = json.loads(run.files()["configs/train.json"])
            key = json.dumps([config[name] for name in ("network_def", "image_size", "batch_size")])
            if key not in timed:
                timed[key] = _seconds_per_image(config, device)
            validated = sizes["validation"] * FORWARD_SHARE / int(config["val_interval"])
            images = math.ceil(sizes["training"] * float(config["data_fraction"])) + validated
            measured = Estimate(left * timed[key] * images, "a short timing without evaluation")
        estimates.append(measured)
    return estimates


def _sizes(dataset_dir: str | None) -> dict[str, int]:
    if dataset_dir is None:
        return _ISIC_2018
    from dermaseg_monai.data import load_datalist

    return {section: len(load_datalist(dataset_dir, section)) for section in _ISIC_2018}


def _seconds_per_image(config: dict[str, Any], device: str | None) -> float:
    import torch
    from monai.bundle import ConfigParser

    from dermaseg_monai.utils.precision import autocast, default_device, mixed_precision

    place = torch.device(device or default_device())
    parser = ConfigParser(
        {"network_def": {**config["network_def"]}, "encoder_start": None, "imports": config["imports"]}
    )
    network = parser.get_parsed_content("network_def").to(place, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    batch = int(config["batch_size"])
    timed = batch if place.type != "cpu" else min(_TIMED_BATCH, batch)
    image = torch.rand(timed, 3, *config["image_size"], device=place)

    def gradients() -> None:
        with autocast(place, mixed_precision(place)):
            outputs = network(image)
        maps = outputs.values() if isinstance(outputs, dict) else [outputs]
        sum(value.float().mean() for value in maps).backward()

    def seconds(part: Callable[[], Any]) -> float:
        begin = time.perf_counter()
        part()
        if place.type != "cpu":
            torch.accelerator.synchronize(place)
        return time.perf_counter() - begin

    steps: list[tuple[float, float]] = []
    begin = time.perf_counter()
    while len(steps) < 3 or (len(steps) < 10 and time.perf_counter() - begin < _TIMED_SECONDS):
        steps.append((seconds(gradients), seconds(optimizer.step)))
    forth_and_back, update = (min(values) for values in zip(*steps[1:], strict=True))  # the first warms up
    return forth_and_back / timed + update / batch

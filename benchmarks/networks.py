"""Time that each network takes for one photo: every lesion bundle that needs no prompt, against U-Net.

    python benchmarks/networks.py [--repeats 5] [--image_size "[64,64]"] [--output results/networks.csv] [--json]

One photo of the bundle's own input size, or of the one given, float32, one thread, random weights, processor time, so
that other work on the machine counts for little. The networks take turns; medians count. Reading a photo and restoring
its mask are left out. With ``--output`` the rows are also written to a file, for ``scripts/results_table.py``.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import fire
import pandas as pd
import torch
from fresh_process import in_fresh_process
from monai.bundle import ConfigParser
from report import show

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.utils.files import write_text

AGAINST = "lesion_unet"


def main(
    repeats: int = 5,
    image_size: tuple[int, int] | None = None,
    output: str | None = None,
    json: bool = False,
) -> None:
    """Measure every lesion bundle."""
    bundles = [bundle for bundle in BUNDLES if bundle.family == "lesion"]
    sizes = {bundle.name: image_size or bundle.image_size for bundle in bundles}
    milliseconds: dict[str, list[float]] = {bundle.name: [] for bundle in bundles}
    for _ in range(repeats):
        for bundle in bundles:
            milliseconds[bundle.name].append(
                in_fresh_process(measure, dict(bundle.network), sizes[bundle.name])
            )
    medians = {name: statistics.median(values) for name, values in milliseconds.items()}
    rows = [
        {
            "bundle": bundle.name,
            "height": sizes[bundle.name][0],
            "width": sizes[bundle.name][1],
            "parameters": bundle.parameters,
            "ms": round(medians[bundle.name], 1),
            f"times {AGAINST}": round(medians[AGAINST] / medians[bundle.name], 2),
        }
        for bundle in bundles
    ]
    if output is not None:
        write_text(Path(output), pd.DataFrame(rows).to_csv(index=False))
    show("One photo through each network, processor time of one thread", rows, json)


def measure(network_def: dict, image_size: tuple[int, int]) -> float:
    """Milliseconds of processor time for one photo: the median of seven, after two to warm up."""
    torch.set_num_threads(1)
    start = {"encoder_weights": None} if "encoder_weights" in network_def else {}
    parser = ConfigParser({"network_def": {**network_def, **start}})
    network = parser.get_parsed_content("network_def").eval().to(memory_format=torch.channels_last)
    photo = torch.rand(1, 3, *image_size).to(memory_format=torch.channels_last)
    taken = []
    with torch.inference_mode():
        for _ in range(9):
            begin = time.process_time()
            network(photo)
            taken.append(1000 * (time.process_time() - begin))
    return statistics.median(taken[2:])


if __name__ == "__main__":
    fire.Fire(main)

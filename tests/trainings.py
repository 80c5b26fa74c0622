"""Short runs of bundles by MONAI: in this process, in one of their own, or in several."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from monai.bundle import ConfigWorkflow

from dermaseg_monai.bundle.folder import bundle_folder

SETTINGS: dict[str, Any] = {
    "image_size": [32, 32],
    "batch_size": 4,
    "learning_rate": 0.02,
    "amp": False,
    "device": "$torch.device('cpu')",
}
TINY_UNET = {"network_def#features": [4, 8]}


def config_files(bundle: str, *names: str) -> list[str]:
    """Paths of a bundle's configs; a name with a suffix is a path already."""
    configs = bundle_folder(bundle) / "configs"
    return [name if "." in name else str(configs / f"{name}.json") for name in names]


def folders_of(dataset: Path, folder: Path) -> dict[str, str]:
    """Where a run reads and writes."""
    return {
        "dataset_dir": str(dataset),
        "ckpt_dir": str(folder / "models"),
        "output_dir": str(folder / "output"),
        "cache_dir": str(dataset / "cache"),
    }


def train(
    bundle: str, dataset: Path, folder: Path, *configs: str, run_id: str = "training", **overrides: Any
) -> ConfigWorkflow:
    """Run ``training``, or what ``run_id`` names, here."""
    workflow = ConfigWorkflow(
        config_file=config_files(bundle, *(configs or ("train",))),
        workflow_type="train",
        run_id=run_id,
        logging_file=False,
        bundle_root=str(bundle_folder(bundle)),
        **{**folders_of(dataset, folder), **SETTINGS, **overrides},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def command(
    bundle: str, run_id: str, dataset: Path, folder: Path, *configs: str, **overrides: Any
) -> list[str]:
    """The arguments of ``python -m monai.bundle run``."""
    options = {
        **folders_of(dataset, folder),
        **SETTINGS,
        **overrides,
        "bundle_root": str(bundle_folder(bundle)),
    }
    arguments = ["-m", "monai.bundle", "run", run_id, "--config_file", str(config_files(bundle, *configs))]
    return arguments + [part for key, value in options.items() for part in (f"--{key}", str(value))]


def start(arguments: list[str], *launcher: str) -> subprocess.Popen:
    """Start Python, or ``launcher``, with one thread and what it says in ``stdout``."""
    return subprocess.Popen(
        [sys.executable, *launcher, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(arguments: list[str], *launcher: str) -> str:
    """Run to the end, which must be a good one; gives its output."""
    process = start(arguments, *launcher)
    try:
        output = process.communicate(timeout=1200)[0]
    finally:
        process.terminate()  # a launcher takes its processes with it
    assert process.returncode == 0, output
    return output


def two_processes() -> list[str]:
    """The launcher of a run by two processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]


def history(folder: Path) -> pd.DataFrame:
    """The columns of history.csv that do not depend on the clock, as text."""
    return pd.read_csv(folder / "output" / "history.csv", dtype=str).drop(columns="seconds")

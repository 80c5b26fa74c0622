"""A study that takes seconds: a network of two levels on photos of discs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dermaseg_monai.studies.record import read_record

STUDY: dict[str, Any] = {
    "bundle": "lesion_unet",
    "overrides": {
        "network_def#features": [4, 8],
        "image_size": [32, 32],
        "batch_size": 4,
        "learning_rate": 0.02,
        "amp": False,
    },
    "seeds": [0],
    "variants": {
        "plain": {},
        "tversky": {"loss": {"_target_": "dermaseg_monai.losses.TverskyLoss", "mode": "@mode"}},
    },
}


def write_file(folder: Path, **changes: Any) -> Path:
    """Write the study's file, called ``small.json``."""
    path = folder / "small.json"
    path.write_text(json.dumps({**STUDY, **changes}))
    return path


def command(study: Path, dataset: Path, runs: Path, *words: object) -> list[str]:
    """The arguments of a batch on the CPU."""
    options = ["--dataset_dir", dataset, "--runs", runs, "--device", "cpu", *words]
    return [sys.executable, "-m", "dermaseg_monai", "study", "run", str(study), *map(str, options)]


def start(arguments: list[str]) -> subprocess.Popen:
    """Start a batch with one thread, in a process group of its own."""
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(arguments: list[str], code: int = 0) -> str:
    """Run a batch to its end, which must have this exit code; gives what was said."""
    process = start(arguments)
    try:
        printed = process.communicate(timeout=500)[0]
    finally:
        process.kill()
    assert process.returncode == code, printed
    return printed


def wait_until(condition: Any, process: subprocess.Popen | None = None, seconds: float = 300) -> None:
    """Wait for something that the batch does; fails where the batch ends without it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        if process is not None and process.poll() is not None:
            raise AssertionError(process.communicate()[0])
        time.sleep(0.01)


def kill(process: subprocess.Popen) -> None:
    """SIGKILL the batch alone, not what it started."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def status(runs: Path, variant: str, seed: int = 0) -> str | None:
    return read_record(runs / "small" / variant / f"seed{seed}").get("status")

"""The script for a GPU's minutes, rehearsed on the CPU at tiny sizes."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import torch

from tests.disc_dataset import write_dataset

SCRIPT = Path(__file__).parents[1] / "scripts" / "gpu_minutes.py"


def test_a_rehearsal(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    overrides = "{'max_epochs': 1, 'image_size': [32, 32], 'batch_size': 4}"
    options = {
        "dataset_dir": dataset,
        "output": tmp_path / "out",
        "minutes": 9,
        "weights": tmp_path,  # without a file in it: variants with an encoder's weights are left out
        "check": False,
        "bench": False,
        "lesion": "flagship,unet_compact",
        "attribute": "flagship",
        "overrides": overrides,
    }
    arguments = [f"--{key}={value}" for key, value in options.items()]
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=500
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("flagship is left out") == 2
    pieces = sorted((tmp_path / "out" / "pack").glob("weights.tar.*"))
    assert len(pieces) == 1
    with tarfile.open(fileobj=io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))) as archive:
        (name,) = archive.getnames()
        weights = torch.load(io.BytesIO(archive.extractfile(name).read()), weights_only=True)
    assert name == "gpu_minutes_lesion/unet_compact/seed0/models/model.pt"
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
    with tarfile.open(tmp_path / "out" / "pack" / "results.tar.gz") as archive:
        assert "runs/gpu_minutes_lesion/unet_compact/seed0/evaluation/metrics.csv" in archive.getnames()

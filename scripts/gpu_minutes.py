r"""Make the most of a GPU that is there for some minutes: check it, measure it, train on it, pack what came of it.

    python scripts/gpu_minutes.py --dataset_dir DATA --output OUT --minutes 9 [--weights DIR] [--at_once 3]
        [--check True] [--bench True] [--lesion a,b] [--attribute a,b] [--overrides "{'max_epochs': 1}"]

1. The tests of what only a GPU does (``tests/engines``), beside the rest.
2. Training throughput of three networks (``benchmarks/training.py``), before the trainings begin.
3. Trainings side by side, each scored on the test split: two studies, of lesion boundaries and of attributes, in the
   order of value. None is started that would not end in time; the same command goes on with the others. Side by side
   they fill the GPU's gaps, but each takes longer: with too many at once, none is done when the time is over.
4. In ``OUT/pack``, files of less than 16 MB, 60 MB in all: scores, histories and logs of all runs, and the weights, in
   half precision, of as many as go in, the best flagship first. ``cat weights.tar.* | tar x`` unpacks them.

``DIR`` holds files of encoder weights; variants whose file is not there are left out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import fire
import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[1]

_MOBILENET = "mobilenet_v2_imagenet_features_fp16.pth"
_FLAGSHIP = "lesion_mobilenetv2_unet"
_FROM_NOTHING = {"encoder_weights": None}


def _encoder(name: str, file: str, rate: float = 1.0, output_stride: int = 32) -> dict[str, Any]:
    network = {
        "_target_": "dermaseg_monai.networks.TimmUNet",
        "encoder_name": name,
        "encoder_weights": "@encoder_start",
        "in_channels": 3,
        "out_channels": 1,
        "output_stride": output_stride,
    }
    return {"network_def": network, "encoder_weights": file, "encoder_rate": rate}


LESION: dict[str, tuple[str, dict[str, Any]]] = {
    "flagship": (_FLAGSHIP, {"encoder_weights": _MOBILENET}),
    "flagship_tinyvit": (
        _FLAGSHIP,
        _encoder("tiny_vit_5m_224", "tiny_vit_5m_mobilesam_calibrated_fp16.pth", rate=0.3, output_stride=16),
    ),
    "unet": ("lesion_unet", {}),
    "unetpp": ("lesion_unetpp", {}),
    "deeplabv3": ("lesion_deeplabv3", _FROM_NOTHING),
    "ba_deeplabv3": ("lesion_ba_deeplabv3", _FROM_NOTHING),
    "segformer_lite": ("lesion_segformer_lite", {}),
    "swin_unet_lite": ("lesion_swin_unet_lite", {}),
    "segnet": ("lesion_segnet", {}),
    "attention_unet": ("lesion_attention_unet", {}),
    "transunet": ("lesion_transunet", {}),
    "flagship_lite0": (
        _FLAGSHIP,
        _encoder("tf_efficientnet_lite0", "tf_efficientnet_lite0_imagenet_fp16.pth"),
    ),
    "unet_compact": ("lesion_unet_compact", {}),
}
"""Bundle and overrides by the variant's name; first what is worth most."""

ATTRIBUTE: dict[str, tuple[str, dict[str, Any]]] = {
    "flagship": ("attribute_mobilenetv2_unet", {"encoder_weights": _MOBILENET}),
}

LARGEST_PIECE = 15_500_000  # bytes
MOST = 60_000_000


def main(
    dataset_dir: str,
    output: str,
    minutes: float = 9.0,
    weights: str = "weights",
    at_once: int = 3,
    check: bool = True,
    bench: bool = True,
    lesion: str | Sequence[str] = (),
    attribute: str | Sequence[str] = (),
    overrides: dict[str, Any] | None = None,
) -> None:
    """Check, measure, train and pack within ``minutes``."""
    ends = time.monotonic() + 60 * minutes
    goal = Path(output).absolute()
    goal.mkdir(parents=True, exist_ok=True)
    running = []
    if check:
        running.append(_start(goal, "checks", ["-m", "pytest", "-q", "-p", "no:cacheprovider", *_checks()]))
    if bench:
        _bench(goal, dataset_dir)
    studies = {"lesion": (LESION, lesion), "attribute": (ATTRIBUTE, attribute)}
    for task, (variants, names) in studies.items():
        chosen = {
            name: variants[name]
            for name in (names.split(",") if isinstance(names, str) else names or variants)
        }
        path = _write_study(goal, task, chosen, Path(weights).absolute())
        if path is not None:
            left = (ends - time.monotonic()) / 60 - _TO_PACK
            share = 1 / at_once if task == "lesion" else 1.0
            options = {"dataset_dir": dataset_dir, "runs": goal / "runs", "minutes": f"{left:.2f}"}
            if torch.cuda.is_available():
                options["gpus_per_run"] = f"{share:.4f}"
            arguments = [
                text
                for key, value in {**options, **(overrides or {})}.items()
                for text in (f"--{key}", str(value))
            ]
            running.append(
                _start(goal, task, ["-m", "dermaseg_monai", "study", "run", str(path), *arguments])
            )
    for process in running:
        process.wait()
    pack(goal)


_TO_PACK = 0.4  # minutes
_HEAD_START = 14.0  # seconds; a training takes longer to get to the GPU


def _checks() -> list[str]:
    return [
        str(ROOT / "tests" / "engines" / f"test_{name}.py")
        for name in ("cuda_graph", "same_seed", "device_path")
    ]


def _start(goal: Path, name: str, arguments: list[str]) -> subprocess.Popen:
    with (goal / f"{name}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)


def _bench(goal: Path, dataset_dir: str) -> None:
    """Measure with the GPU to itself: returns while the last process is at it, before a training could use the GPU."""
    rows = ["bare step", "bundle"]
    if torch.cuda.is_available():
        rows += ["bare step, CUDA graph", "bundle, CUDA graph"]
    for bundles, more in ((_FLAGSHIP, ["MONAI recipe", "DataLoader"]), ("lesion_unet,lesion_deeplabv3", [])):
        arguments = [f"--bundle={bundles}", "--images=384", "--epochs=2", "--repeats=1"]
        arguments += [
            f"--dataset_dir={dataset_dir}",
            "--workers=12",
            "--apart=False",
            f"--only={'|'.join(rows + more)}",
        ]
        process = _start(goal, "throughput", ["benchmarks/training.py", *arguments])
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=None if more else _HEAD_START)


def _write_study(
    goal: Path, task: str, variants: dict[str, tuple[str, dict[str, Any]]], weights: Path
) -> Path | None:
    entries = []
    for name, (bundle, overrides) in variants.items():
        file = overrides.get("encoder_weights")
        if file is not None:
            if not (weights / file).is_file():
                print(f"{name} is left out: there is no {weights / file}")
                continue
            overrides = {**overrides, "encoder_weights": str(weights / file)}
        entries.append({"name": name, "bundle": bundle, "overrides": overrides})
    if not entries:
        return None
    path = goal / f"gpu_minutes_{task}.json"
    path.write_text(json.dumps({"seeds": [0], "variants": entries}, indent=2))
    return path


def pack(goal: Path) -> None:
    """Put the results, and the weights as far as they go in, into pieces of ``goal/pack``."""
    target = goal / "pack"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with tarfile.open(target / "results.tar.gz", "w:gz") as archive:
        for path in sorted(goal.rglob("*")):
            inside = path.relative_to(goal)
            result = path.suffix in {".json", ".csv", ".log"} and inside.parts[0] != "pack"
            if result and ("configs" not in inside.parts or inside.name == "train.json"):
                archive.add(path, inside)
    room = MOST - (target / "results.tar.gz").stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "weights.tar"
        with tarfile.open(whole, "w") as archive:
            for model in _by_value(goal):
                half = Path(folder) / "model.pt"
                state = torch.load(model, map_location="cpu", weights_only=True)
                torch.save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, half)
                if half.stat().st_size + 2048 <= room:
                    room -= half.stat().st_size + 2048
                    archive.add(half, model.relative_to(goal / "runs"))
        content = whole.read_bytes()
        for piece in range(0, len(content), LARGEST_PIECE):
            (target / f"weights.tar.{piece // LARGEST_PIECE}").write_bytes(
                content[piece : piece + LARGEST_PIECE]
            )
    for path in sorted(target.iterdir()):
        print(f"{path}: {path.stat().st_size:,} bytes")


def _by_value(goal: Path) -> list[Path]:
    """All weights, also of runs that were stopped: the best flagship of each task, other networks, then the rest."""
    flagships, others = [], []
    for model in goal.glob("runs/*/*/seed*/models/model.pt"):
        run = model.parents[1]
        (flagships if run.parent.name.startswith("flagship") else others).append(run)
    flagships.sort(key=_validation_jaccard, reverse=True)
    best = {run.parents[1]: run for run in reversed(flagships)}.values()
    names = list(LESION)
    others.sort(key=lambda run: names.index(run.parent.name))
    runs = [*best, *others, *(run for run in flagships if run not in best)]
    return [run / "models" / "model.pt" for run in runs]


def _validation_jaccard(run: Path) -> float:
    history = pd.read_csv(run / "output" / "history.csv")
    return max(history[name].max() for name in ("val_jaccard", "val_macro_jaccard") if name in history)


if __name__ == "__main__":
    fire.Fire(main)

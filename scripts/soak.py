"""Faults over and over, a much resumed training, and thousands of predictions in one process.

    python scripts/soak.py kills [--minutes 10] [--jobs "[prepare,training]"] [--seed 0]
    python scripts/soak.py resumes [--kills 24] [--epochs 240] [--seed 0]
    python scripts/soak.py predictions [--count 10000]

``kills`` runs each job twice undisturbed on phantoms. Then, until the minutes are over, it takes the jobs in turn,
kills each (SIGKILL) one to three times at random moments after it has begun to write, lets it end, and compares every
byte of what matters in the result. ``resumes`` does that to one training, as a machine does that is taken away once an
hour. Exit code 1 tells that a result differed. ``predictions`` segments tiny photos in one process and prints its
memory.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import fire
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = ROOT / "bundles" / "lesion_unet"
DERMASEG = [sys.executable, "-m", "dermaseg_monai"]
TINY = {"network_def#features": [4, 8], "image_size": [32, 32]}
OPTIONS = [f"--{name}={value}" for name, value in TINY.items()] + ["--device", "$torch.device('cpu')"]

EMBED = """
import sys, torch
from pathlib import Path
from dermaseg_monai.sam import PREPROCESSING, EmbeddingCache, SamNetwork
torch.manual_seed(0)
network = SamNetwork(dict(image_size=64, patch_size=4, encoder_dim=32, encoder_depth=2, encoder_heads=2,
    global_blocks=[1], window_size=5, prompt_dim=32, decoder_heads=4, decoder_mlp_dim=64)).eval()
cache = EmbeddingCache(network, PREPROCESSING["sam"](size=64), sys.argv[2])
cache.fill(sorted(Path(sys.argv[1]).glob("*.jpg")))
"""


class SlowFiles(http.server.SimpleHTTPRequestHandler):
    """Sends the files of a folder at 5 MB/s, from the byte that is asked for."""

    def do_GET(self) -> None:
        """Answer with the rest of the file."""
        content = Path(self.translate_path(self.path)).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        for position in range(start, len(content), 100_000):
            try:
                self.wfile.write(content[position : position + 100_000])
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Jobs:
    """The commands; each is given the folder that it is to write to."""

    def __init__(self, folder: Path) -> None:
        self.official, self.prepared, self.weights = (
            folder / "official",
            folder / "prepared",
            folder / "weights",
        )
        finish([*DERMASEG, "phantom", "--output", self.official, "--count", 60, "--size", 128])
        finish([*DERMASEG, "prepare", "--source", self.official, "--output", self.prepared])
        finish(self.training(folder / "first", epochs=1))
        os.rename(folder / "first" / "models", self.weights)
        finish([*DERMASEG, "pack", "lesion_mobilenetv2_unet", "--output", folder / "packed"])
        handler = functools.partial(SlowFiles, directory=str(folder / "packed"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}/model_info.json"
        self.study_file = folder / "two_widths.json"
        widths = {"narrow": {}, "wide": {"network_def#features": [6, 12]}}
        study = {"name": "two_widths", "bundle": "lesion_unet", "seeds": [0], "variants": widths}
        study["overrides"] = {**TINY, "max_epochs": 4, "batch_size": 4}
        self.study_file.write_text(json.dumps(study))

    def prepare(self, out: Path) -> list:
        """Photos and masks, reduced."""
        return [*DERMASEG, "prepare", "--source", self.official, "--output", out / "ready", "--size", 100]

    def training(self, out: Path, epochs: int = 12) -> list:
        """A tiny U-Net; its pixel cache is built anew."""
        options = ["--ckpt_dir", out / "models", "--cache_dir", out / "cache", "--max_epochs", epochs]
        return [*self._bundle("training", ["train"], out), *options, "--batch_size", 4]

    def evaluation(self, out: Path) -> list:
        """Scores and masks of the training section, the largest."""
        words = self._bundle("evaluating", ["train", "evaluate"], out)
        return [*words, "--section", "training", "--ckpt_dir", self.weights]

    def prediction(self, out: Path) -> list:
        """Masks and overlays."""
        words = [*DERMASEG, "predict", self.prepared / "images", "--output", out]
        return [*words, "--bundle", BUNDLE, "--ckpt_dir", self.weights, *OPTIONS]

    def embeddings(self, out: Path) -> list:
        """A cache of image embeddings."""
        return [sys.executable, "-c", EMBED, self.prepared / "images", out / "cache"]

    def study(self, out: Path) -> list:
        """Two trainings with their evaluations."""
        words = ["study", "run", self.study_file, "--dataset_dir", self.prepared, "--device", "cpu"]
        return [*DERMASEG, *words, "--runs", out / "runs"]

    def pack(self, out: Path) -> list:
        """Archives of the whole collection."""
        return [*DERMASEG, "pack", "--all", "--output", out / "packed"]

    def download(self, out: Path) -> list:
        """A bundle over a slow connection."""
        return [*DERMASEG, "get", "lesion_mobilenetv2_unet", "--from", self.url, "--output", out / "bundles"]

    def _bundle(self, run_id: str, configs: list[str], out: Path) -> list:
        files = "[" + ",".join(f"'{BUNDLE / 'configs' / name}.json'" for name in configs) + "]"
        words = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", files]
        folders = ["--bundle_root", BUNDLE, "--dataset_dir", self.prepared, "--output_dir", out / "output"]
        return [*words, *folders, *OPTIONS]


NAMES = ["prepare", "training", "evaluation", "prediction", "embeddings", "study", "pack", "download"]


def kills(minutes: float = 10, jobs: list[str] | None = None, seed: int = 0) -> None:
    """Kill jobs at random moments, let them end, compare."""
    rng = random.Random(seed)
    names = jobs or NAMES
    counts = {name: [0, 0, 0] for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        known = Jobs(folder)
        whole = {}
        for name in names:
            files, _ = undisturbed(getattr(known, name), folder / f"first_{name}")
            again, span = undisturbed(getattr(known, name), folder / f"second_{name}")
            counts[name][2] += files != again
            whole[name] = files, span  # the first, with cold file caches, takes longer
            print(f"{name}: {len(files)} files, written in {span:.1f} s", flush=True)
        deadline = time.monotonic() + 60 * minutes
        for number, name in enumerate(itertools.cycle(names)):
            if time.monotonic() > deadline:
                break
            expected, span = whole[name]
            delays = [rng.uniform(0, 0.8 * span) for _ in range(rng.randint(1, 3))]
            hit, same = survives(getattr(known, name), folder / f"{name}_{number}", delays, expected)
            counts[name] = [sum(pair) for pair in zip(counts[name], (1, hit, not same), strict=True)]
    print("job, runs, kills, different: " + "; ".join(f"{n} {r} {k} {d}" for n, (r, k, d) in counts.items()))
    sys.exit(any(different for _, _, different in counts.values()))


def resumes(kills: int = 24, epochs: int = 240, seed: int = 0) -> None:
    """Kill one training many times, compare with its undisturbed twin."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        training = functools.partial(Jobs(folder).training, epochs=epochs)
        expected, span = undisturbed(training, folder / "whole")
        print(f"training: {epochs} epochs, {len(expected)} files, written in {span:.1f} s", flush=True)
        # most of them resume from something new, and the training is not at its end before the last
        delays = [rng.uniform(0, 1.5 * span / kills) for _ in range(kills)]
        hit, same = survives(training, folder / "killed", delays, expected)
    print(f"{hit} kills: {'same' if same else 'different'}")
    sys.exit(not same)


def undisturbed(words: Callable[[Path], list], out: Path) -> tuple[dict[str, str], float]:
    """Run to the end; gives digests by file, and the seconds from the first thing written to the end."""
    out.mkdir()
    process = begin(words(out))
    written(process, out)
    started = time.monotonic()
    if process.wait():
        finish(words(out))  # says why
    return digests(out), time.monotonic() - started


def survives(
    words: Callable[[Path], list], out: Path, delays: list[float], expected: dict[str, str]
) -> tuple[int, bool]:
    """Kill after each of the delays, run to the end; gives how many kills hit, and whether the result is the same."""
    out.mkdir()
    hits = []
    for delay in delays:
        process = begin(words(out))
        written(process, out)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            hits.append(delay)
        process.kill()
        process.wait()
    finish(words(out))
    result = digests(out)
    differing = sorted(key for key in result.keys() | expected.keys() if result.get(key) != expected.get(key))
    when = ", ".join(f"{hit:.2f} s" for hit in hits) or "its end"
    print(
        f"{out.name}: killed after {when}: {f'differs in {differing[:3]}' if differing else 'same'}",
        flush=True,
    )
    return len(hits), not differing


def begin(words: list) -> subprocess.Popen:
    """Start a command, unheard."""
    return subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def written(process: subprocess.Popen, out: Path) -> None:
    """Wait until something in a folder changes, or the process ends."""
    before = state(out)
    while process.poll() is None and state(out) == before:
        time.sleep(0.005)


def state(folder: Path) -> list[tuple[str, int]]:
    """Names in a folder, at any depth, with the times of their last change."""
    changes = []
    for root, _, files in os.walk(folder):
        for name in [".", *files]:
            try:
                changes.append((f"{root}/{name}", os.stat(f"{root}/{name}").st_mtime_ns))
            except FileNotFoundError:  # renamed meanwhile
                continue
    return changes


def digests(folder: Path) -> dict[str, str]:
    """What of each file must not change: all but times, and the names of folders that hold it."""
    import pandas as pd
    import torch

    result = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        passing = path.name == "run.json" or any(
            part in name for part in ("tensorboard", "logs/", "cache/pixels")
        )
        if not path.is_file() or passing or "/." in f"/{name}":
            continue
        content = path.read_bytes()
        if path.name == "history.csv":
            content = pd.read_csv(path, dtype=str).drop(columns="seconds").to_csv().encode()
        elif path.name == "model.pt":
            weights = torch.load(path, weights_only=True)
            content = b"".join(value.numpy().tobytes() for value in weights.values())
        result[name] = hashlib.sha256(content).hexdigest()
    return result


def finish(words: list) -> None:
    """Run to the end, which must be a good one."""
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")


def predictions(count: int = 10_000, calls: int = 30) -> None:
    """Segment ``count`` tiny photos in one folder, then one photo ``calls`` times; print memory on the way."""
    import torch
    from PIL import Image

    from dermaseg_monai.bundle.folder import BundleFolder
    from dermaseg_monai.data import photos as loading
    from dermaseg_monai.inference.predict import predict
    from dermaseg_monai.networks import UNet

    settings = {**TINY, "device": "$torch.device('cpu')", "amp": False}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "photos").mkdir()
        torch.manual_seed(0)
        torch.save(UNet(features=(4, 8)).state_dict(), folder / "model.pt")
        rng = np.random.default_rng(0)
        for number in range(count):
            pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / f"{number:06}.png")
        bad = folder / "photos" / f"{count // 2:06}.png"
        bad.write_bytes(bad.read_bytes()[:100])

        make, photos = loading._batch, [0]

        @functools.wraps(make)
        def counted(items: list) -> dict:
            photos[0] += len(items)
            if photos[0] // 1000 != (photos[0] - len(items)) // 1000:
                print(f"{photos[0]} photos: {resident():.0f} MB", flush=True)
            return make(items)

        loading._batch = counted
        started = time.monotonic()
        BundleFolder(Path(BUNDLE)).run(
            folder / "out", dataset_dir=str(folder / "photos"), ckpt_dir=str(folder), **settings
        )
        print(f"{count} photos in {time.monotonic() - started:.0f} s: {resident():.0f} MB")
        print(f"left out: {(folder / 'out' / 'failures.csv').read_text().count(chr(10)) - 1}")
        for number in range(calls):
            predict(
                folder / "photos" / "000000.png",
                folder / "one",
                bundle=str(BUNDLE),
                ckpt_dir=str(folder),
                **settings,
            )
            if number % 10 == 9:
                print(
                    f"{number + 1} calls: {resident():.0f} MB, {threading.active_count()} threads", flush=True
                )


def resident() -> float:
    """This process's memory in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    fire.Fire({"kills": kills, "resumes": resumes, "predictions": predictions})

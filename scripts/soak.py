"""Faults over and over, and thousands of predictions in one process.

    python scripts/soak.py kills [--minutes 10] [--jobs "[prepare,training]"] [--seed 0]
    python scripts/soak.py predictions [--count 10000]

``kills`` runs each job once undisturbed on phantoms. Then, until the minutes are over, it takes a job at random, kills
it (SIGKILL) one to three times at random moments, lets it end, and compares every byte of what matters in the result.
Exit code 1 tells that one differed. ``predictions`` segments tiny photos in one process and prints its memory.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
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
TINY = ["--network_def#features", "[4,8]", "--image_size", "[32,32]", "--device", "$torch.device('cpu')"]

EMBED = """
import sys, torch
from pathlib import Path
from dermaseg_monai.prompts import PREPROCESSING, EmbeddingCache, SamNetwork
torch.manual_seed(0)
network = SamNetwork(dict(image_size=64, patch_size=4, encoder_dim=32, encoder_depth=2, encoder_heads=2,
    global_blocks=[1], window_size=5, prompt_dim=32, decoder_heads=4, decoder_mlp_dim=64)).eval()
cache = EmbeddingCache(network, PREPROCESSING["sam"](size=64), sys.argv[2])
cache.fill(sorted(Path(sys.argv[1]).glob("*.jpg")))
"""
FETCH = """
import sys
from pathlib import Path
from dermaseg_monai.fetch import fetch
fetch(sys.argv[1], Path(sys.argv[2]), "noise")
"""


class Ranges(http.server.BaseHTTPRequestHandler):
    """Sends noise, slowly, from the byte that is asked for."""

    content = np.random.default_rng(0).bytes(20_000_000)

    def do_GET(self) -> None:
        """Answer with the rest of the content."""
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        for place in range(start, len(self.content), 200_000):
            try:
                self.wfile.write(self.content[place : min(place + 200_000, len(self.content))])
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Jobs:
    """The commands, and what of their results must not depend on a kill."""

    def __init__(self, home: Path) -> None:
        self.official, self.prepared, self.weights = home / "official", home / "prepared", home / "weights"
        dermaseg = [sys.executable, "-m", "dermaseg_monai"]
        finish([*dermaseg, "phantom", "--output", self.official, "--count", 60, "--size", 128])
        finish([*dermaseg, "prepare", "--source", self.official, "--output", self.prepared])
        finish(self.training(home / "first", epochs=1))
        os.rename(home / "first" / "models", self.weights)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}/noise"

    def prepare(self, out: Path) -> list:
        """Photos and masks, reduced."""
        words = ["prepare", "--source", self.official, "--output", out / "ready", "--size", 100]
        return [sys.executable, "-m", "dermaseg_monai", *words]

    def training(self, out: Path, epochs: int = 12) -> list:
        """A tiny U-Net; its pixel store is built anew."""
        own = ["--ckpt_dir", out / "models", "--cache_dir", out / "cache", "--max_epochs", epochs]
        return [*self._bundle("training", "train", self.prepared, out), *own, "--batch_size", 4]

    def evaluation(self, out: Path) -> list:
        """Scores and masks of the test section."""
        words = self._bundle("evaluating", "train','evaluate", self.prepared, out)
        return [*words, "--section", "training", "--ckpt_dir", self.weights]

    def prediction(self, out: Path) -> list:
        """Masks and overlays."""
        words = [sys.executable, "-m", "dermaseg_monai", "predict", self.prepared / "images", "--output", out]
        return [*words, "--bundle", BUNDLE, "--ckpt_dir", self.weights, *TINY]

    def embeddings(self, out: Path) -> list:
        """A cache of image embeddings."""
        return [sys.executable, "-c", EMBED, self.prepared / "images", out / "cache"]

    def download(self, out: Path) -> list:
        """A file over a slow connection."""
        return [sys.executable, "-c", FETCH, self.url, out / "noise.part"]

    def _bundle(self, run_id: str, configs: str, dataset: Path, out: Path) -> list:
        folder = BUNDLE / "configs"
        files = "[" + ",".join(f"'{folder / name}.json'" for name in configs.split("','")) + "]"
        words = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", files]
        return [
            *words,
            "--bundle_root",
            BUNDLE,
            "--dataset_dir",
            dataset,
            "--output_dir",
            out / "output",
            *TINY,
        ]


def kills(minutes: float = 10, jobs: list[str] | None = None, seed: int = 0) -> None:
    """Kill jobs at random moments, let them end, compare."""
    rng = random.Random(seed)
    names = jobs or ["prepare", "training", "evaluation", "prediction", "embeddings", "download"]
    counts = {name: [0, 0, 0] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        known = Jobs(home)
        expected, seconds = {}, {}
        for name in names:
            started = time.monotonic()
            expected[name] = result(getattr(known, name), home / f"whole_{name}", [], rng, 0)
            seconds[name] = time.monotonic() - started
            print(f"{name}: {len(expected[name])} files, {seconds[name]:.1f} s undisturbed", flush=True)
        deadline = time.monotonic() + 60 * minutes
        while time.monotonic() < deadline:
            name = rng.choice(names)
            killed: list[float] = []
            found = result(
                getattr(known, name), home / f"{name}_{counts[name][0]}", killed, rng, seconds[name]
            )
            differing = sorted(
                key
                for key in found.keys() | expected[name].keys()
                if found.get(key) != expected[name].get(key)
            )
            counts[name][0] += 1
            counts[name][1] += len(killed)
            counts[name][2] += bool(differing)
            told = f"differs in {differing[:3]}" if differing else "same"
            print(
                f"{name}: killed after {', '.join(f'{k:.2f} s' for k in killed) or 'its end'}: {told}",
                flush=True,
            )
    print("job, runs, kills, different: " + "; ".join(f"{n} {r} {k} {d}" for n, (r, k, d) in counts.items()))
    sys.exit(any(different for _, _, different in counts.values()))


def result(
    words: Callable[[Path], list], out: Path, killed: list[float], rng: random.Random, seconds: float
) -> dict[str, str]:
    """Run to the end, with up to three kills before where ``seconds`` is how long it takes; digests by file."""
    out.mkdir()
    for _ in range(rng.randint(1, 3) if seconds else 0):
        process = subprocess.Popen(
            [str(word) for word in words(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        delay = rng.uniform(0.3, 1) * seconds
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            killed.append(delay)
        process.kill()
        process.wait()
    finish(words(out))
    return digests(out)


def digests(folder: Path) -> dict[str, str]:
    """What of each file must not change: all but times, and the names of folders that hold it."""
    import pandas as pd
    import torch

    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if (
            not path.is_file()
            or "tensorboard" in name
            or "/." in f"/{name}"
            or name.startswith("cache/pixels")
        ):
            continue
        content = path.read_bytes()
        if path.name == "history.csv":
            content = pd.read_csv(path, dtype=str).drop(columns="seconds").to_csv().encode()
        elif path.name == "model.pt":
            state = torch.load(path, weights_only=True)
            content = b"".join(value.numpy().tobytes() for value in state.values())
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def finish(words: list) -> None:
    """Run to the end, which must be a good one."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def predictions(count: int = 10_000, calls: int = 30) -> None:
    """Segment ``count`` tiny photos in one folder, then one photo ``calls`` times; print memory on the way."""
    import torch
    from PIL import Image

    from dermaseg_monai.data import photos as loading
    from dermaseg_monai.inference import run_inference
    from dermaseg_monai.networks import UNet
    from dermaseg_monai.predict import predict

    settings = {
        "network_def#features": [4, 8],
        "image_size": [32, 32],
        "device": "$torch.device('cpu')",
        "amp": False,
    }
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "photos").mkdir()
        torch.manual_seed(0)
        torch.save(UNet(features=(4, 8)).state_dict(), home / "model.pt")
        rng = np.random.default_rng(0)
        for number in range(count):
            pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(home / "photos" / f"{number:06}.png")
        bad = home / "photos" / f"{count // 2:06}.png"
        bad.write_bytes(bad.read_bytes()[:100])

        made, done = loading._batch, [0]

        @functools.wraps(made)
        def counted(items: list) -> dict:
            done[0] += len(items)
            if done[0] // 1000 != (done[0] - len(items)) // 1000:
                print(f"{done[0]} photos: {resident():.0f} MB", flush=True)
            return made(items)

        loading._batch = counted
        started = time.monotonic()
        run_inference(BUNDLE, home / "out", dataset_dir=str(home / "photos"), ckpt_dir=folder, **settings)
        print(f"{count} photos in {time.monotonic() - started:.0f} s: {resident():.0f} MB")
        print(f"left out: {(home / 'out' / 'failures.csv').read_text().count(chr(10)) - 1}")
        for number in range(calls):
            predict(
                home / "photos" / "000000.png", home / "one", bundle=str(BUNDLE), ckpt_dir=folder, **settings
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
    fire.Fire({"kills": kills, "predictions": predictions})

"""How much ``dermaseg app`` answers under load, beside ``dermaseg predict`` on the same photos.

    python benchmarks/app_load.py --requests 2000 --clients 16

Photos are phantoms of 0.5 to 12 megapixels. Prints throughput of both, the median and the 95th percentile of the
answers' times, what was refused, the server's memory at the start, at the most and at the end, and the processor's
time that a photo took of each, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
from PIL import Image

from dermaseg_monai.datasets.phantoms import render_phantom

SIDES = ((816, 612), (1280, 960), (2000, 1500), (2560, 1920), (3264, 2448), (4000, 3000))
"""(width, height): 0.5, 1.2, 3, 4.9, 8 and 12 megapixels."""


def write_photos(folder: Path) -> list[Path]:
    folder.mkdir()
    photos = []
    for seed, size in enumerate(SIDES * 2):
        image = Image.fromarray(render_phantom(seed, (576, 768)).image).resize(size, Image.Resampling.BICUBIC)
        path = folder / f"photo_{seed:02d}.jpg"
        image.save(path, quality=90)
        photos.append(path)
    return photos


def processor_seconds(stat: Path) -> float:
    """What a process and the children that it has waited for have used of the processor, by Linux's count."""
    fields = stat.read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def memory(server: str) -> float:
    """Resident bytes of the server, in GB."""
    text = httpx2.get(f"{server}/metrics", timeout=60).text
    return float(re.findall(r"^process_resident_memory_bytes (\d+)", text, re.M)[0]) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        photos = write_photos(Path(work) / "photos")
        many = Path(work) / "many"
        many.mkdir()
        for number in range(options.requests):
            (many / f"{number:05d}.jpg").symlink_to(photos[number % len(photos)])
        start, before = time.monotonic(), processor_seconds(Path("/proc/self/stat"))
        command = [sys.executable, "-m", "dermaseg_monai", "predict", str(many), "--output", f"{work}/masks"]
        subprocess.run(command, check=True, capture_output=True)
        alone = time.monotonic() - start
        spent = processor_seconds(Path("/proc/self/stat")) - before
        print(
            f"predict: {options.requests / alone:.2f} photos/s, {spent / options.requests:.3f} s of processor a photo, "
            "both with its start",
            flush=True,
        )

        process = subprocess.Popen(
            [sys.executable, "-m", "dermaseg_monai", "app", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            assert process.stdout is not None
            server = re.findall(r"http://\S+", process.stdout.readline())[0]
            stat = Path(f"/proc/{process.pid}/stat")
            own = Path("/proc/self/stat")
            before, own_before = processor_seconds(stat), processor_seconds(own)
            load(server, photos, options.requests, options.clients)
            spent, own_spent = processor_seconds(stat) - before, processor_seconds(own) - own_before
            print(
                f"app: {spent / options.requests:.3f} s of processor a photo; its clients: "
                f"{own_spent / options.requests:.3f} s"
            )
        finally:
            process.terminate()
            process.wait()


def load(server: str, photos: list[Path], requests: int, clients: int) -> None:
    contents = [photo.read_bytes() for photo in photos]
    statuses: Counter[int] = Counter()
    seconds: list[float] = []
    memories = [memory(server)]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(2):
            memories.append(memory(server))

    def ask(number: int) -> None:
        name, content = photos[number % len(photos)].name, contents[number % len(photos)]
        while True:
            start = time.monotonic()
            answer = client.post("/api/segment", files=[("photos", (name, content))])
            statuses[answer.status_code] += 1
            if answer.status_code != 503:
                seconds.append(time.monotonic() - start)
                return
            time.sleep(int(answer.headers["retry-after"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.monotonic()
    # connections are kept, as programs that send many photos do
    with httpx2.Client(base_url=server, timeout=300) as client, ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(requests)))
    total = time.monotonic() - start
    ended.set()
    watcher.join()
    middle, high = np.percentile(seconds, [50, 95])
    print(
        f"app: {requests / total:.1f} photos/s, median {middle:.2f} s, p95 {high:.2f} s; answers {dict(statuses)}"
    )
    tenth = max(1, len(memories) // 10)
    print(
        f"memory: {memories[0]:.2f} GB at the start, {np.mean(memories[tenth : 2 * tenth + 1]):.2f} early, "
        f"{max(memories):.2f} at the most, {np.mean(memories[-tenth:]):.2f} late"
    )


if __name__ == "__main__":
    main()

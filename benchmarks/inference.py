"""Inference from large photos on disk to masks on disk: the bundle against a plain loop.

    python benchmarks/inference.py --bundle lesion_mobilenetv2_unet --photos 48 --megapixels 12 [--json]

The plain loop decodes each photo in full with Pillow, resizes it, runs the same network in float32 on a batch of
one, resizes the probabilities to the photo's size and writes a PNG with Pillow's defaults. It does no post-processing;
the bundle is run without as well ("same work") and as it ships; ``dermaseg predict`` also draws overlays. All include
everything from the file to the file; each is run ``repeats`` times in turn, in a process of its own after one run to
warm up, and the medians count, also of the ratios of one turn. Beside other work, processor time varies less.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import numpy as np
import torch
from fresh_process import in_fresh_process
from monai.bundle import ConfigWorkflow
from PIL import Image
from report import show

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.datasets.phantoms import render_phantom
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.transforms import normalise_photo, read_mask, write_mask
from dermaseg_monai.utils.precision import autocast


def main(
    bundle: str = "lesion_mobilenetv2_unet",
    photos: int = 48,
    megapixels: float = 12,
    repeats: int = 3,
    json: bool = False,
) -> None:
    """Measure one bundle on a folder of photos made for it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_photos(folder / "photos", photos, megapixels)
        turns = [
            {name: in_fresh_process(measure, name, bundle, folder, photos) for name in ALTERNATIVES}
            for _ in range(repeats)
        ]
        rows = []
        for name in ALTERNATIVES:
            seconds, processor = (
                statistics.median(column) for column in zip(*(turn[name] for turn in turns), strict=True)
            )
            ratios = [turn["plain loop"][0] / turn[name][0] for turn in turns]
            rows.append(
                {
                    "what": name,
                    "ms/photo": 1000 * seconds / photos,
                    "processor ms/photo": 1000 * processor / photos,
                    "photos/s": photos / seconds,
                    "times the plain loop": statistics.median(ratios),
                }
            )
        show(f"inference, {bundle}, {photos} photos of {megapixels:g} megapixels", rows, json)


def measure(name: str, bundle: str, folder: Path, photos: int) -> tuple[float, float]:
    """Seconds, and processor seconds of all threads, of one run of an alternative, after one to warm up."""
    run = ALTERNATIVES[name]
    run(bundle, folder, photos)
    started, used = time.perf_counter(), time.process_time()
    run(bundle, folder, photos)
    return time.perf_counter() - started, time.process_time() - used


def make_photos(folder: Path, count: int, megapixels: float) -> None:
    """Write JPEG photos of about ``megapixels``, 4:3, with the sensor noise that makes real ones slow to decode."""
    folder.mkdir()
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    size = (height * 4 // 3, height)
    rng = np.random.default_rng(0)
    for index in range(count):
        photo = Image.fromarray(render_phantom(index, (192, 256)).image).resize(
            size, Image.Resampling.BICUBIC
        )
        noise = rng.integers(-6, 7, (size[1], size[0], 1), dtype=np.int16)
        pixels = np.clip(np.asarray(photo, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:04d}.jpg", quality=92)


def workflow(bundle: str, folder: Path, **overrides: Any) -> ConfigWorkflow:
    """The bundle's inference workflow on the photos."""
    root = bundle_folder(bundle)
    flow = ConfigWorkflow(
        str(root / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(root),
        dataset_dir=str(folder / "photos"),
        output_dir=str(folder / "masks"),
        **overrides,
    )
    flow.initialize()
    return flow


def same_work(bundle: str, folder: Path, photos: int) -> None:
    """The bundle without the post-processing that the plain loop lacks."""
    workflow(bundle, folder, largest_component=False, fill_holes=False).run()


def shipped(bundle: str, folder: Path, photos: int) -> None:
    """The bundle as users run it."""
    workflow(bundle, folder).run()


def plain(bundle: str, folder: Path, photos: int) -> None:
    """One photo after the other, everything at full size."""
    content = workflow(bundle, folder).parser.get_parsed_content
    network, (height, width) = content("network_def").eval(), content("image_size")
    (folder / "plain").mkdir(exist_ok=True)
    for path in sorted((folder / "photos").iterdir()):
        photo = Image.open(path).convert("RGB")
        small = photo.resize((width, height), Image.Resampling.BILINEAR)
        tensor = normalise_photo(torch.from_numpy(np.array(small)).permute(2, 0, 1))[None]
        with torch.no_grad():
            logits = network(tensor)
            logits = logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits
            full = torch.nn.functional.interpolate(
                logits.sigmoid(), size=(photo.height, photo.width), mode="bilinear", align_corners=False
            )
        mask = (full[0, 0] >= 0.5).to(torch.uint8).numpy() * 255
        Image.fromarray(mask).save(folder / "plain" / f"{path.stem}_segmentation.png")


@torch.no_grad()
def network_alone(bundle: str, folder: Path, photos: int) -> None:
    """The network on as many batches as the bundle runs, in the bundle's precision."""
    content = workflow(bundle, folder).parser.get_parsed_content
    network, batch_size = content("network").eval(), content("batch_size")
    device = content("device")
    batch = torch.zeros(batch_size, 3, *content("image_size"), device=device)
    with autocast(device, content("amp")):
        for _ in range(-(-photos // batch_size)):
            network(batch)
    if device.type == "cuda":
        torch.cuda.synchronize()


def decoding_alone(bundle: str, folder: Path, photos: int) -> None:
    """The photos' files to pixels, as the bundle loads them."""
    load = workflow(bundle, folder).parser.get_parsed_content("preprocessing").transforms[0]
    for path in sorted((folder / "photos").iterdir()):
        load({"image": str(path)})


def writing_alone(bundle: str, folder: Path, photos: int) -> None:
    """A mask that an alternative before this one has left to as many PNG files as there are photos."""
    (folder / "written").mkdir(exist_ok=True)
    mask = read_mask(next((folder / "masks").glob("*.png")))
    for index in range(photos):
        write_mask(mask, folder / "written" / f"{index}.png")


def command(bundle: str, folder: Path, photos: int) -> None:
    """``dermaseg predict`` from its imports on: as shipped, with overlays and table."""
    predict(folder / "photos", folder / "predicted", bundle=bundle)


ALTERNATIVES: dict[str, Callable[[str, Path, int], None]] = {
    "plain loop": plain,
    "bundle, same work": same_work,
    "bundle": shipped,
    "dermaseg predict": command,
    "network alone": network_alone,
    "decoding alone": decoding_alone,
    "writing masks alone": writing_alone,
}


if __name__ == "__main__":
    fire.Fire(main)

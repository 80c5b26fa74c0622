"""Tiny image sets in the official ISIC 2018 layout, as folders or archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ATTRIBUTES = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")
ORIENTATION = 0x0112


def folders(section: str) -> dict[str, str]:
    return {
        "image": f"ISIC2018_Task1-2_{section}_Input",
        "lesion": f"ISIC2018_Task1_{section}_GroundTruth",
        "attribute": f"ISIC2018_Task2_{section}_GroundTruth" + ("_v3" if section == "Training" else ""),
    }


def photo(
    width: int = 48,
    height: int = 32,
    seed: int = 0,
    orientation: int = 1,
    form: str = "JPEG",
    quality: int = 95,
) -> bytes:
    """A noisy photo; ``width`` and ``height`` are those of the stored pixels, before any EXIF rotation."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(
        Image.fromarray(noise), form, quality=quality, **({"exif": exif} if orientation != 1 else {})
    )


def mask(
    width: int = 48, height: int = 32, value: int = 255, box: tuple[int, int, int, int] | None = None
) -> bytes:
    """A mask with ``value`` in a box (left, upper, right, lower), by default its left half."""
    image = Image.new("L", (width, height), 0)
    image.paste(value, box or (0, 0, width // 2, height))
    return encode(image, "PNG")


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def official_files(ids: Iterable[str], section: str = "Training", ending: str = ".jpg") -> dict[str, bytes]:
    """Paths and contents of a whole set: photos, masks of both tasks, and what lies between them."""
    names = folders(section)
    files = {
        f"{folder}/{text}": b"terms"
        for folder in names.values()
        for text in ("LICENSE.txt", "ATTRIBUTION.txt")
    }
    for seed, name in enumerate(ids):
        files[f"{names['image']}/{name}{ending}"] = photo(seed=seed)
        files[f"{names['image']}/{name}_superpixels.png"] = mask()
        files[f"{names['lesion']}/{name}_segmentation.png"] = mask()
        for index, attribute in enumerate(ATTRIBUTES):
            files[f"{names['attribute']}/{name}_attribute_{attribute}.png"] = mask(
                box=(index, 0, index + 1, 32)
            )
    return files


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_archives(root: Path, files: Mapping[str, bytes], top: str = "", separator: str = "/") -> Path:
    """One zip per first folder, with ``top`` before every path inside and any separator between its parts."""
    root.mkdir(parents=True, exist_ok=True)
    for folder in dict.fromkeys(name.split("/")[0] for name in files):
        with zipfile.ZipFile(root / f"{folder}.zip", "w") as archive:
            for name, data in files.items():
                if name.startswith(f"{folder}/"):
                    inside = zipfile.ZipInfo("placeholder")
                    inside.filename = (top + name).replace("/", separator)
                    archive.writestr(inside, data)
    return root

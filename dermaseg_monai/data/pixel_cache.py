"""Cache of decoded photos and masks: memory-mapped uint8 arrays that every later run reuses."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dermaseg_monai.utils.errors import InputError, find_input_error
from dermaseg_monai.utils.files import atomic_folder, sweep
from dermaseg_monai.utils.fingerprint import describe
from dermaseg_monai.utils.threads import bounded_map

logger = logging.getLogger(__name__)

Item = dict[str, Any]


@dataclass(frozen=True)
class PixelCache:
    """The decoded pixels of a data list.

    Attributes:
        images: uint8 ``(N, 3, H, W)``, RGB, memory-mapped.
        labels: uint8 ``(N, C, H, W)`` of 0/1, memory-mapped.
    """

    images: torch.Tensor
    labels: torch.Tensor

    @property
    def bytes(self) -> int:
        """Size of both arrays in bytes."""
        return self.images.nbytes + self.labels.nbytes


def open_pixel_cache(
    data: Sequence[Item], transform: Callable[[Item], Item], cache_dir: str | os.PathLike[str]
) -> PixelCache:
    """Open the cache of ``data``, building it first where no earlier run has.

    The cache's folder is named by a hash of the files (path, size, modification time), of the transform's
    settings and of what the transform makes of the first file, so that a changed photo, mask, size or library
    leads to a new cache and a stale one is never read. It is built beside its final name and renamed when
    complete; of two processes that build at once, the first to finish wins and both read the same bytes.
    Memory stays bounded by a few decoded photos per core, whatever the length of the list.

    Args:
        data: items ``{"image": path, "label": path or list of paths}``.
        transform: loads and resizes one item to ``{"image": uint8 (3, H, W), "label": uint8 (C, H, W)}``,
            the same shapes for every item.
        cache_dir: where caches are kept; where it cannot be written, the system's temporary folder serves.

    Returns:
        The cache, memory-mapped.

    Raises:
        InputError: ``data`` is empty, a file is missing or unreadable, two items differ in shape, or the disk
            is too full.
    """
    if not data:
        raise InputError(
            "the data list is empty: there is nothing to load; check the dataset folder and its split."
        )
    first = _decode(transform, data[0])
    name = f"pixels-{_key(data, transform, first)}"
    folder = Path(cache_dir) / name
    if not folder.is_dir():
        folder = _writable(Path(cache_dir)) / name
    if not folder.is_dir():
        sweep(folder.parent)
        _build(data, transform, first, folder)
    arrays = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "labels"))
    return PixelCache(*(torch.from_numpy(array) for array in arrays))


def _key(data: Sequence[Item], transform: Callable[[Item], Item], first: Item) -> str:
    digest = hashlib.sha256(json.dumps(describe(transform), sort_keys=True).encode())
    for item in data:
        for path in _paths(item):
            try:
                stat = os.stat(path)
            except OSError as error:
                raise InputError(
                    f"cannot read {path} ({error.strerror}); prepare the dataset again."
                ) from None
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    for name in ("image", "label"):
        digest.update(np.ascontiguousarray(first[name]).tobytes())
    return digest.hexdigest()[:24]


def _paths(item: Item) -> Iterator[str]:
    label = item["label"]
    yield item["image"]
    yield from (label,) if isinstance(label, str) else label


def _decode(transform: Callable[[Item], Item], item: Item) -> Item:
    try:
        result = transform({"image": item["image"], "label": item["label"]})
    except Exception as error:
        reason = find_input_error(error)  # MONAI's Compose raises its own from the one that explains
        if reason is None:
            raise
        raise reason from None
    return {name: np.asarray(result[name], dtype=np.uint8) for name in ("image", "label")}


def _build(data: Sequence[Item], transform: Callable[[Item], Item], first: Item, folder: Path) -> None:
    needed = len(data) * sum(first[name].nbytes for name in ("image", "label"))
    if needed > shutil.disk_usage(folder.parent).free:
        # checked beforehand: a memory map that meets a full disk ends the process without a word
        raise InputError(
            f"decoding {len(data)} images takes {needed / 1e9:.1f} GB, more than is free at {folder.parent}; "
            "make room or point --cache_dir elsewhere."
        )
    with atomic_folder(folder) as temporary:
        arrays = {
            name: np.lib.format.open_memmap(
                temporary / f"{name}s.npy", mode="w+", dtype=np.uint8, shape=(len(data), *first[name].shape)
            )
            for name in ("image", "label")
        }
        for name in arrays if hasattr(os, "posix_fallocate") else ():
            # room that is taken now cannot run out later, when a write to the memory map would kill the process
            with (temporary / f"{name}s.npy").open("rb+") as stream:
                os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
        # Pillow lets go of the interpreter lock while it decodes, so threads use every core
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = bounded_map(pool, lambda item: _decode(transform, item), data, ahead=16)
            progress = tqdm(decoded, total=len(data), desc="decoding", unit="image", disable=None)
            for index, item in enumerate(progress):
                for name, array in arrays.items():
                    if item[name].shape != first[name].shape:
                        raise InputError(
                            f"{name} {data[index][name]} becomes {item[name].shape} where the first of the "
                            f"list is {first[name].shape}; resize all to one size in the loading transforms."
                        )
                    array[index] = item[name]
        for array in arrays.values():
            array.flush()
    logger.info("decoded %d images into %s", len(data), folder)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    fallback = Path(tempfile.gettempdir()) / f"dermaseg-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    fallback.mkdir(mode=0o700, exist_ok=True)
    logger.warning("%s cannot be written: decoded pixels are kept in %s", folder, fallback)
    return fallback

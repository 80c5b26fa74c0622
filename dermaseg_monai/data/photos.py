"""Photos of any number and size, decoded ahead of the network; one that cannot be read costs only itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from dermaseg_monai.utils.distributed import check_shares, rank, world_size
from dermaseg_monai.utils.errors import InputError, find_input_error
from dermaseg_monai.utils.files import as_text
from dermaseg_monai.utils.tensors import plain
from dermaseg_monai.utils.threads import bounded_map

logger = logging.getLogger(__name__)


class PhotoLoader:
    """Batches of photos whose preprocessing brings them to one size.

    Photos are decoded in threads (Pillow lets go of the interpreter lock), a bounded number ahead, so memory
    does not grow with their number. A photo whose preprocessing raises :class:`InputError` is logged, kept in
    :attr:`failures` and left out. Under ``torch.distributed`` each process takes every ``world_size``-th
    photo.

    Args:
        dataset: items with ``id`` and ``image``; its transform makes ``image`` a tensor ``(3, H, W)`` of one
            size.
        batch_size: photos per batch.
        workers: decoding threads; as many as cores by default.

    Raises:
        InputError: ``batch_size`` is not positive, or there are fewer photos than processes.

    Attributes:
        failures: ``{"id", "image", "reason"}`` of each photo left out so far.
    """

    def __init__(self, dataset: Dataset, batch_size: int = 8, workers: int | None = None) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        check_shares(len(dataset))  # type: ignore[arg-type]
        self.dataset = dataset
        self.batch_size = batch_size
        self.workers = workers or os.cpu_count() or 1
        self.failures: list[dict[str, str]] = []

    # There is no __len__: how many batches there are is known only once every photo has been opened.
    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield ``{"image": (B, 3, H, W), "items": the B items}``.

        Raises:
            InputError: no photo at all could be read.
        """
        self.failures = []
        indices = range(rank(), len(self.dataset), world_size())  # type: ignore[arg-type]
        items: list[dict[str, Any]] = []
        any_read = False
        with ThreadPoolExecutor(self.workers) as pool:
            loaded = bounded_map(pool, self._load, indices, ahead=self.batch_size + 2 * self.workers)
            for item in tqdm(loaded, total=len(indices), desc="photos", unit="photo", disable=None):
                if "reason" in item:
                    self.leave_out(**item)
                    continue
                any_read = True
                items.append(item)
                if len(items) == self.batch_size:
                    yield _batch(items)
                    items = []
        if items:
            yield _batch(items)
        if not any_read and len(indices):
            raise InputError(
                f"none of the {len(indices)} photos could be read; the first: {self.failures[0]['reason']}"
            )

    def leave_out(self, id: str, image: str, reason: object) -> None:
        """Say and keep that a photo is left out.

        Args:
            id: the photo's.
            image: its path.
            reason: one sentence.
        """
        logger.warning("left out: %s", as_text(str(reason)))
        self.failures.append({"id": id, "image": as_text(image), "reason": as_text(str(reason))})

    def _load(self, index: int) -> dict[str, Any]:
        try:
            return self.dataset[index]
        except Exception as error:
            reason = find_input_error(error)  # MONAI's Compose raises its own from the one that explains
            if reason is None:
                raise
            item = self.dataset.data[index]  # type: ignore[attr-defined]
            return {"id": item["id"], "image": item["image"], "reason": str(reason)}


def check_any(rows: Sequence[Any], failures: Sequence[dict[str, str]]) -> None:
    """Make sure that there is something to write.

    Args:
        rows: the results of all photos.
        failures: those left out.

    Raises:
        InputError: there are no results.
    """
    if not rows:
        raise InputError(
            f"none of the {len(failures)} photos could be used; the first: {failures[0]['reason']}"
        )


def _batch(items: list[dict[str, Any]]) -> dict[str, Any]:
    # plain tensors: the items keep each photo's metadata
    return {"image": torch.stack([plain(item["image"]) for item in items]), "items": items}

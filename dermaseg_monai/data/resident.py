"""A dataset whose pixels stay on the training device, and the loader that draws augmented batches from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from queue import Queue
from typing import Any

import torch
from monai.transforms import Randomizable, Transform
from torch.utils.data import Dataset

from dermaseg_monai.data.pixel_cache import Item, PixelCache, open_pixel_cache
from dermaseg_monai.utils.distributed import check_shares, rank, world_size
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.tensors import plain

Batch = dict[str, torch.Tensor]


class ResidentDataset(Dataset):
    """Photos and masks as uint8 tensors, decoded once and held where the network computes.

    On a GPU the whole set is copied there when it takes no more than ``budget`` of the free memory; a larger
    set, and every set on the CPU, is read from the memory-mapped cache.

    Args:
        data: items ``{"image": path, "label": path or list of paths}``.
        transform: loads and resizes one item to uint8 tensors (see :func:`open_pixel_cache`).
        cache_dir: folder of the cache of decoded pixels.
        device: where batches are needed.
        budget: share of the device's free memory that the set may fill, 0 to 1.
    """

    def __init__(
        self,
        data: Sequence[Item],
        transform: Callable[[Item], Item],
        cache_dir: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        budget: float = 0.4,
    ) -> None:
        self.data = list(data)
        self.transform = transform
        self.cache_dir = cache_dir
        self.device = torch.device(device)
        self.budget = budget

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Batch:
        return {"image": self.pixels.images[index], "label": self.pixels.labels[index]}

    @cached_property
    def pixels(self) -> PixelCache:
        """The decoded pixels, on the device where they fit, else memory-mapped."""
        cache = open_pixel_cache(self.data, self.transform, self.cache_dir)
        if (
            self.device.type == "cuda"
            and cache.bytes <= self.budget * torch.cuda.mem_get_info(self.device)[0]
        ):
            return PixelCache(cache.images.to(self.device), cache.labels.to(self.device))
        return cache

    @property
    def streams(self) -> bool:
        """Whether batches travel from host memory to a GPU."""
        return self.device.type != "cpu" and self.pixels.images.device.type == "cpu"

    def gather(self, index: torch.Tensor) -> Batch:
        """Draw the items at ``index`` (int64, ``(B,)``) as one uint8 batch, without Python code per item."""
        index = index.to(self.pixels.images.device)
        return {
            "image": self.pixels.images.index_select(0, index),
            "label": self.pixels.labels.index_select(0, index),
            "index": index,
        }


class BatchLoader:
    """Batches of a :class:`ResidentDataset`, shuffled, augmented and normalised on the device.

    The order and the augmentation of an epoch are functions of ``seed`` and the epoch's number alone, so a
    run that is resumed sees what the run that never stopped would have seen. A shuffled epoch leaves out the
    last incomplete batch (unless it is the only one); an unshuffled one covers every item once. Under
    ``torch.distributed`` each process draws its share.

    Args:
        dataset: where the pixels are.
        batch_size: images per batch and process.
        transform: deterministic transform of a whole batch, such as normalisation.
        augment: random transforms, applied in turn before ``transform``: MONAI's dictionary transforms, to each item
            by itself, and functions ``(batch, generator) -> batch`` of a whole batch, such as
            :class:`~dermaseg_monai.transforms.BatchAugment`.
        shuffle: draw in a new random order each epoch.
        seed: start of all randomness.
        weights: relative probability of each item, with ``shuffle``; drawn with replacement. ``None`` draws
            each item once.

    Raises:
        InputError: ``batch_size`` is not positive, ``weights`` do not fit the dataset or come without
            ``shuffle``, or there are fewer items than processes.
    """

    def __init__(
        self,
        dataset: ResidentDataset,
        batch_size: int,
        transform: Callable[[Batch], Batch],
        augment: Sequence[Callable[..., Batch]] = (),
        shuffle: bool = False,
        seed: int = 0,
        weights: Sequence[float] | torch.Tensor | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        if weights is not None and len(weights) != len(dataset):
            raise InputError(
                f"{len(weights)} sampling weights were given for {len(dataset)} items; give one each."
            )
        if weights is not None and not shuffle:
            raise InputError("sampling weights come without shuffle; set shuffle or leave the weights out.")
        check_shares(len(dataset))
        self.dataset = dataset
        self.batch_size = batch_size
        self.transform = transform
        self.augment = augment
        self.shuffle = shuffle
        self.seed = seed
        self.weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float64)
        self.epoch = 0

    def __len__(self) -> int:
        share = self._share(torch.arange(len(self.dataset)))
        whole, rest = divmod(len(share), self.batch_size)
        return whole if self.shuffle and whole else whole + (rest > 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and augmentation the next iteration follows."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator(self.dataset.device)
        generator.manual_seed(_mix(self.seed, self.epoch, 1 + rank()))
        for index, augment in enumerate(self.augment):
            if isinstance(augment, Randomizable):
                augment.set_random_state(_mix(self.seed, self.epoch, 1 + rank(), index) % 2**32)
        batches = self._share(self._order()).split(self.batch_size)[: len(self)]
        for batch in self._prefetched(batches) if self.dataset.streams else map(self.dataset.gather, batches):
            for augment in self.augment:
                batch = (
                    _each_item(augment, batch)
                    if isinstance(augment, Transform)
                    else augment(batch, generator)
                )
            yield self.transform(batch)

    def _order(self) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(len(self.dataset))
        generator = torch.Generator().manual_seed(_mix(self.seed, self.epoch, 0))
        if self.weights is not None:
            return torch.multinomial(self.weights, len(self.dataset), replacement=True, generator=generator)
        return torch.randperm(len(self.dataset), generator=generator)

    def _share(self, order: torch.Tensor) -> torch.Tensor:
        if self.shuffle:  # every process takes the same number of steps
            order = order[: len(order) // world_size() * world_size()]
        return order[rank() :: world_size()]

    def _prefetched(self, batches: Sequence[torch.Tensor]) -> Iterator[Batch]:
        """Gather the next batches in a thread, while the GPU works on the present one.

        A copy to an NVIDIA GPU goes on beside its work where it comes from pinned memory.
        """
        pinned = self.dataset.device.type == "cuda"
        queue: Queue[Batch | BaseException] = Queue(maxsize=2)
        stopped = threading.Event()

        def gather() -> None:
            try:
                for index in batches:
                    if stopped.is_set():
                        return
                    batch = self.dataset.gather(index)
                    queue.put({key: value.pin_memory() for key, value in batch.items()} if pinned else batch)
            except BaseException as error:
                queue.put(error)

        worker = threading.Thread(target=gather, daemon=True)
        worker.start()
        try:
            for _ in batches:
                batch = queue.get()
                if isinstance(batch, BaseException):
                    raise batch
                yield {
                    key: value.to(self.dataset.device, non_blocking=pinned) for key, value in batch.items()
                }
        finally:
            stopped.set()
            while worker.is_alive():
                while not queue.empty():
                    queue.get()
                worker.join(timeout=0.05)


def _each_item(transform: Callable[[Any], Any], batch: Batch) -> Batch:
    """Apply a transform of one item to each item of a batch."""
    length = len(next(iter(batch.values())))
    transformed = [transform({key: value[index] for key, value in batch.items()}) for index in range(length)]
    return {key: torch.stack([plain(item[key]) for item in transformed]) for key in transformed[0]}


def _mix(*numbers: int) -> int:
    """Fold several small numbers into one seed that differs wherever one of them does."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % 2**63
    return seed

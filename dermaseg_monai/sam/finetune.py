"""Fine-tuning on cached embeddings: an epoch costs only the decoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from dermaseg_monai.image_files import read_mask
from dermaseg_monai.sam.cache import EmbeddingCache
from dermaseg_monai.sam.from_mask import (
    box_of_mask,
    check_kind,
    jittered_box,
    photo_rng,
    points_beside,
    points_inside,
    random_points,
)
from dermaseg_monai.sam.network import Prompted, SamNetwork
from dermaseg_monai.sam.prompt import KINDS, Box, Prompt, stacked
from dermaseg_monai.sam.simulated_clicks import corrective_click
from dermaseg_monai.sam.sources import predicted_mask
from dermaseg_monai.utils.distributed import rank, world_size
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.precision import autocast
from dermaseg_monai.utils.threads import bounded_map

MIXED = "mixed"
"""Trains one model for every kind of prompt and for the clicks that correct its masks."""

TRAINED_KINDS = (*KINDS, MIXED)
"""What a model can be trained for."""

CORRECTIONS = 4
"""The most clicks that follow the first prompt of a mixed batch, of which each number is as likely."""

_NO_CLICK = ((0.0, 0.0), -1)
"""What SAM takes for no point, where a mask of the batch has no error left."""


class PromptedLesion(NamedTuple):
    """A photo's masks and box, which training needs beside the embedding.

    Attributes:
        label: uint8 ``(1, h, w)`` of 0/1: the true mask at the decoder's resolution.
        source: uint8 ``(h, w)``: the mask that points are made from, at the same resolution.
        box: (left, top, right, bottom) of that mask, in pixels of the network's input, exact.
        shown: (height, width) that the photo takes on the network's input, in pixels.
    """

    label: torch.Tensor
    source: np.ndarray
    box: Box
    shown: tuple[int, int]


class EmbeddingDataset(Dataset):
    """Photos as cached embeddings, with their masks at the decoder's resolution.

    Embeddings are computed, and masks read, when the first item is asked for.

    Args:
        data: items ``{"id", "image": path, "label": path}``.
        cache: gives the embeddings.
        predictor: gives the mask (H, W) of a photo's path that prompts are made from; None: the ground truth,
            which makes every score an oracle's.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        cache: EmbeddingCache,
        predictor: Callable[[str], np.ndarray] | None = None,
    ) -> None:
        self.data = list(data)
        self.cache = cache
        self.predictor = predictor

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, PromptedLesion]:
        """The embedding, float16 ``(C, h, w)``, and the lesion."""
        lesion = self.lesions[index]
        stored = self.cache.read(self.files[index])
        # a file may be removed or damaged while a training runs
        embedding = self.cache.get(self.data[index]["image"]) if stored is None else stored
        return embedding, lesion

    @cached_property
    def files(self) -> list[Path]:
        """The file of each embedding."""
        return self.cache.fill([item["image"] for item in self.data])

    @cached_property
    def lesions(self) -> list[PromptedLesion]:
        """Mask and box of each photo."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self._lesion, self.data))

    def _lesion(self, item: dict[str, Any]) -> PromptedLesion:
        preprocess, factor = self.cache.preprocess, self.cache.network.mask_factor
        truth = read_mask(item["label"])
        source = truth if self.predictor is None else predicted_mask(self.predictor, item["image"], truth)
        size = (truth.shape[0], truth.shape[1])
        box = box_of_mask(source) or (0.0, 0.0, float(size[1]), float(size[0]))
        moved = Prompt(box).to_input(preprocess.geometry(size)).box
        return PromptedLesion(
            torch.from_numpy(preprocess.mask(truth, factor))[None],
            preprocess.mask(source, factor),
            moved or box,
            preprocess.shown(size),
        )


class EmbeddingLoader:
    """Batches of an :class:`EmbeddingDataset` with prompts made anew in every epoch.

    Order and prompts of an epoch are functions of ``seed`` and the epoch's number alone. A shuffled epoch leaves
    out the last incomplete batch, unless it is the only one. Under ``torch.distributed`` each process draws its
    share. Where a mask lacks pixels for all its points, the last one is repeated, so that batches stay whole.

    Of "mixed" prompts each batch draws its kind, and how many clicks shall follow (:class:`CorrectiveClicks`).
    Their positive points lie anywhere on the lesion, where those of a fixed kind keep to its middle.

    Args:
        dataset: where embeddings and masks are.
        batch_size: photos per batch and process.
        kind: "box", "points", "box_and_points" or "mixed".
        points: positive points of each prompt, where points are asked for.
        negative_points: negative points of each prompt, where points are asked for.
        jitter: augmentation: largest shift of each side of a box, as a share of its width or height.
        shuffle: draw in a new random order each epoch.
        seed: start of all randomness.
        workers: threads that read embeddings ahead; as many as cores by default.

    Raises:
        InputError: an argument is out of range, or the dataset is empty.
    """

    def __init__(
        self,
        dataset: EmbeddingDataset,
        batch_size: int = 8,
        kind: str = "box",
        points: int = 1,
        negative_points: int = 0,
        jitter: float = 0.0,
        shuffle: bool = False,
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        check_kind(kind, points, negative_points, TRAINED_KINDS)
        if batch_size < 1 or not 0 <= jitter <= 0.4 or not len(dataset):
            raise InputError(
                f"a loader of {len(dataset)} photos with batch_size {batch_size} and jitter {jitter} cannot work; give "
                "photos, a batch_size of at least 1 and a jitter between 0 and 0.4."
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.kind = kind
        self.points = points
        self.negative_points = negative_points
        self.jitter = jitter
        self.shuffle = shuffle
        self.seed = seed
        self.workers = workers or os.cpu_count() or 1
        self.epoch = 0

    def __len__(self) -> int:
        whole, rest = divmod(len(self._order()), self.batch_size)
        return whole if self.shuffle and whole else whole + (rest > 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and prompts the next iteration follows."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield ``{"image": what SamNetwork takes of cached embeddings, "label": (B, 1, h, w), "index": (B,)}``.

        "corrections" is the number of clicks that shall follow.
        """
        order = self._order()[: len(self) * self.batch_size]
        self.dataset.files, self.dataset.lesions  # noqa: B018 - computed here rather than in every thread
        batches = [(index, *self._drawn(number)) for number, index in enumerate(order.split(self.batch_size))]
        asked = [(one, kind) for index, kind, _ in batches for one in index.tolist()]
        with ThreadPoolExecutor(self.workers) as pool:
            loaded = bounded_map(pool, lambda entry: self._load(*entry), asked, ahead=2 * self.batch_size)
            for index, _, corrections in batches:
                entries = [next(loaded) for _ in index]
                image = {"embeddings": torch.stack([embedding for embedding, _, _ in entries])}
                boxes, points, labels = stacked([prompt for _, _, prompt in entries], "cpu")
                if boxes is not None:
                    image["boxes"] = boxes
                if points is not None and labels is not None:
                    image |= {"points": points, "labels": labels}
                label = torch.stack([label for _, label, _ in entries])
                yield {"image": image, "label": label, "index": index, "corrections": corrections}

    def _order(self) -> torch.Tensor:
        count = len(self.dataset)
        order = torch.arange(count)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
            order = torch.randperm(count, generator=generator)[: count // world_size() * world_size()]
        return order[rank() :: world_size()]

    def _drawn(self, number: int) -> tuple[str, int]:
        """Kind of the prompts of a batch, and how many clicks shall correct what they lead to."""
        if self.kind != MIXED:
            return self.kind, 0
        rng = photo_rng(self.seed, f"batch {number} {self.epoch}")
        return str(rng.choice(KINDS)), int(rng.integers(CORRECTIONS + 1))

    def _load(self, index: int, kind: str) -> tuple[torch.Tensor, torch.Tensor, Prompt]:
        embedding, lesion = self.dataset[index]
        item = self.dataset.data[index]
        return embedding, lesion.label, self._prompt(lesion, kind, f"{item['id']} {self.epoch}")

    def _prompt(self, lesion: PromptedLesion, kind: str, name: str) -> Prompt:
        rng = photo_rng(self.seed, name)
        box = jittered_box(lesion.box, self.jitter, lesion.shown, rng)
        if kind == "box":
            return Prompt(box)
        factor = self.dataset.cache.network.mask_factor
        height, width = (-(-side // factor) for side in lesion.shown)
        mask = lesion.source[:height, :width]  # points keep to the photo, not to its padding
        centre = (
            (lesion.box[0] + lesion.box[2]) / (2 * factor),
            (lesion.box[1] + lesion.box[3]) / (2 * factor),
        )
        found = (
            random_points(mask, self.points, rng) if self.kind == MIXED else points_inside(mask, self.points)
        )
        inside = _exactly(found or (centre,), self.points)
        beside = points_beside(mask, self.negative_points, rng)
        outside = _exactly(beside or ((0.5, 0.5),), self.negative_points)
        points = tuple((x * factor, y * factor) for x, y in inside + outside)
        labels = (1,) * self.points + (0,) * self.negative_points
        return Prompt(box if kind == "box_and_points" else None, points, labels)


class PromptTraining(nn.Module):
    """The part of a :class:`SamNetwork` that fine-tuning changes, as the network that a trainer trains.

    It shares its weights with the whole network, whose image encoder is frozen. Only what takes part in one mask
    per prompt is trained: the proposals of several masks and their predicted quality stay as they are, so use the
    result with ``multimask=False``. Its own state dict holds decoder and prompt encoder alone, which keeps training
    states small; the whole network's is the one to save as the model.

    Args:
        network: the whole network.
        kind: of the prompts: "box", "points", "box_and_points" or "mixed".
        prompt_encoder: train the prompt encoder too.

    Raises:
        InputError: the kind is unknown.
    """

    def __init__(self, network: SamNetwork, kind: str = "box", prompt_encoder: bool = False) -> None:
        super().__init__()
        check_kind(kind, 1, 0, TRAINED_KINDS)
        self.mask_decoder = network.mask_decoder
        self.prompt_encoder = network.prompt_encoder
        self._whole = (network,)  # in a tuple, so that it is no submodule
        network.multimask = False
        network.requires_grad_(False)
        self.mask_decoder.requires_grad_(True)
        self.mask_decoder.iou_prediction_head.requires_grad_(False)
        self.mask_decoder.output_hypernetworks_mlps[1:].requires_grad_(False)
        if prompt_encoder:
            encoder = self.prompt_encoder
            encoder.no_mask_embed.requires_grad_(True)
            # of the point embeddings, two are negative and positive points, two a box's corners
            used = {"box": (2, 3), "points": (0, 1)}.get(kind, (0, 1, 2, 3))
            for number in used:
                encoder.point_embeddings[number].requires_grad_(True)
            encoder.not_a_point_embed.requires_grad_(kind in ("points", MIXED))
            encoder.mask_downscaling.requires_grad_(kind == MIXED)

    def forward(self, image: Prompted) -> torch.Tensor:
        """Segment cached embeddings.

        Args:
            image: what :class:`EmbeddingLoader` gives as "image".

        Returns:
            Logits ``(B, 1, h, w)`` at the decoder's resolution.
        """
        return self._whole[0].decode_tensors(**image)


def prepare_prompted_batch(
    batchdata: dict[str, Any], device: torch.device | str | None = None, non_blocking: bool = False, **_: Any
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Bring a batch of :class:`EmbeddingLoader` to the device: ``prepare_batch`` of MONAI's engines.

    Args:
        batchdata: the batch.
        device: where to.
        non_blocking: let the copies run beside the computation.

    Returns:
        Embeddings with prompts, and the label ``(B, 1, h, w)``.
    """
    image = {name: value.to(device, non_blocking=non_blocking) for name, value in batchdata["image"].items()}
    return image, batchdata["label"].to(device, non_blocking=non_blocking)


class CorrectiveClicks:
    """``prepare_batch`` of a trainer that lets clicks follow the first prompt, as a person corrects a mask.

    As often as the batch says, the network segments without gradients, a click goes into the largest error of each
    mask, and the mask's logits become a prompt as well. The step that follows learns from the last prompts alone. The
    truth enters by where clicks lie and what they are labelled, as it does when a person clicks.

    Args:
        network: the whole network that is trained.
        amp: segment under autocast, see :func:`dermaseg_monai.utils.precision.half_dtype`.

    Reference: Sofiiuk et al., "Reviving Iterative Training with Mask Guidance for Interactive Segmentation", 2021.
        arXiv:2102.06583
    """

    def __init__(self, network: SamNetwork, amp: bool | str | None = False) -> None:
        self.network = network
        self.amp = amp

    def __call__(
        self,
        batchdata: dict[str, Any],
        device: torch.device | str = "cpu",
        non_blocking: bool = False,
        **_: Any,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """What :func:`prepare_prompted_batch` gives, with clicks and "masks", logits ``(B, 1, h, w)``, added."""
        image, label = prepare_prompted_batch(batchdata, device, non_blocking)
        for _round in range(batchdata["corrections"]):
            with torch.no_grad(), autocast(device, self.amp):
                logits = self.network.decode_tensors(**image).float()
            image = {**image, **self._clicked(image, logits, label), "masks": logits}
        return image, label

    def _clicked(
        self, image: dict[str, torch.Tensor], logits: torch.Tensor, label: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        masks, truths = (logits[:, 0] >= 0).cpu().numpy(), label[:, 0].cpu().numpy()
        clicks = [corrective_click(*pair) or _NO_CLICK for pair in zip(masks, truths, strict=True)]
        points = torch.tensor([[point] for point, _ in clicks]) * self.network.mask_factor
        added = {"points": points, "labels": torch.tensor([[float(label)] for _, label in clicks])}
        return {
            name: torch.cat([image[name], value.to(logits.device)], dim=1)
            if name in image
            else value.to(logits.device)
            for name, value in added.items()
        }


def _exactly(points: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    return (points + points[-1:] * count)[:count]

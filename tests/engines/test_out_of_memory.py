"""A batch that is too large for the device."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from ignite.engine import Events

from dermaseg_monai.engines import Evaluator, Trainer
from dermaseg_monai.engines.out_of_memory import in_parts, is_out_of_memory, joined
from dermaseg_monai.utils.errors import InputError
from tests.engines.test_trainer import loss


class Small(torch.nn.Module):
    """A network for which a device's memory ends above ``limit`` images, as it does on a GPU."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Conv2d(3, 1, 3, padding=1)
        self.limit = limit
        self.seen: list[int] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(image))
        if len(image) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.layer(image)


def batches(images: int, count: int = 3) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    images_and_labels = [
        (torch.randn(images, 3, 8, 8, generator=generator), torch.rand(images, 1, 8, 8, generator=generator))
        for _ in range(count)
    ]
    return [{"image": image, "label": (label < 0.5).to(torch.uint8)} for image, label in images_and_labels]


def trained(limit: int, images: int = 12, **settings: Any) -> tuple[Small, list[float], tuple[int, ...]]:
    network = Small(limit)
    trainer = Trainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=batches(images),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.5),
        loss_function=loss,
        **settings,
    )
    losses: list[float] = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item())
    )
    trainer.run()
    return network, losses, tuple(trainer.state.output["pred"].shape)


def test_the_batch_size_is_what_to_change() -> None:
    with pytest.raises(
        InputError, match=r"not enough memory for 12 images at once; give a smaller --batch_size"
    ):
        trained(limit=5)


@pytest.mark.parametrize("images", [12, 7, 2])
def test_halving_ends_where_the_whole_batch_ends(images, caplog) -> None:
    whole, expected, shape = trained(limit=99, images=images)
    with caplog.at_level(logging.WARNING):
        parts, losses, split_shape = trained(limit=3 if images > 2 else 1, images=images, auto_batch=True)
    assert losses == pytest.approx(expected, abs=1e-6)
    assert split_shape == shape
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    assert set(whole.seen) == {images}
    tried = [record.getMessage() for record in caplog.records]
    assert f"not enough memory for {images} images at once: going on with {-(-images // 2)}" in tried[0]
    # what fitted is not tried again by every step
    assert sum(size > parts.limit for size in parts.seen) == len(tried)


def test_a_single_image_that_does_not_fit() -> None:
    with pytest.raises(InputError, match=r"memory for 1 images at once; choose a smaller image_size"):
        trained(limit=0, auto_batch=True)


def test_an_evaluation_halves_by_itself() -> None:
    predictions = []
    for limit in (99, 2):
        network = Small(limit)
        evaluator = Evaluator(
            device=torch.device("cpu"), val_data_loader=batches(5), network=network, decollate=False
        )
        evaluator.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: predictions.append(engine.state.output["pred"])
        )
        evaluator.run()
    for whole, parts in zip(predictions[:3], predictions[3:], strict=True):
        torch.testing.assert_close(parts, whole)


def test_other_errors_are_left_alone() -> None:
    def fail(parts: int) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        in_parts(fail, images=4, parts=1, most=4, advice="")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_signs_of_a_full_memory(error, full) -> None:
    assert is_out_of_memory(error) is full


def test_joining() -> None:
    one, two = torch.zeros(1, 2), torch.ones(3, 2)
    assert joined([{"a": one, "b": [one]}, {"a": two, "b": [two]}])["b"][0].shape == (4, 2)
    assert joined([one]) is one

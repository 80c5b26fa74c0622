"""Order and augmentation follow from seed and epoch; every way to the pixels gives the same batches."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from monai.transforms import RandGaussianNoised

from dermaseg_monai.data import resident
from dermaseg_monai.data.pixel_cache import PixelCache
from dermaseg_monai.data.resident import BatchLoader, ResidentDataset
from dermaseg_monai.transforms import BatchAugment, NormalisePhotod
from dermaseg_monai.utils.errors import InputError


class Numbered(ResidentDataset):
    """Items whose pixels are their own number, with no files behind them."""

    def __init__(self, count: int) -> None:
        super().__init__([{"image": "", "label": ""}] * count, dict, "nowhere")
        numbers = torch.arange(count, dtype=torch.uint8)[:, None, None, None]
        self.pixels = PixelCache(
            numbers.expand(-1, 3, 4, 4).clone(), (numbers % 2).expand(-1, 1, 4, 4).clone()
        )


def plain(batch: dict[str, Any]) -> dict[str, Any]:
    return batch


def numbers(loader: BatchLoader) -> list[list[int]]:
    return [batch["image"][:, 0, 0, 0].tolist() for batch in loader]


def flat(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


def test_unshuffled_covers_each_once_in_order() -> None:
    loader = BatchLoader(Numbered(10), 4, plain)
    assert numbers(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    loader.set_epoch(7)
    assert flat(numbers(loader)) == list(range(10))


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(10, 4, [4, 4]), (8, 4, [4, 4]), (9, 4, [4, 4]), (3, 4, [3]), (4, 4, [4]), (1, 1, [1])],
)
def test_shuffled_drops_the_last_incomplete_batch(count, batch_size, sizes) -> None:
    loader = BatchLoader(Numbered(count), batch_size, plain, shuffle=True)
    drawn = numbers(loader)
    assert [len(batch) for batch in drawn] == sizes
    assert len(loader) == len(sizes)
    assert len(set(flat(drawn))) == len(flat(drawn))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int, used: int = 0) -> list[list[int]]:
        loader = BatchLoader(Numbered(40), 8, plain, shuffle=True, seed=seed)
        for _ in range(used):
            list(loader)
        loader.set_epoch(epoch)
        torch.rand(used)  # the global generator has no part in it
        return numbers(loader)

    assert order(3, 5) == order(3, 5, used=2)
    different = [order(seed, epoch) for seed in (0, 1, -1) for epoch in (0, 1, 2)]
    assert len({str(one) for one in different}) == 9
    assert sorted(flat(different[0])) == list(range(40))


def test_augmentation_is_a_function_of_seed_and_epoch() -> None:
    def noisy(batch: dict[str, Any], generator: torch.Generator) -> dict[str, Any]:
        return batch | {"noise": torch.rand(len(batch["image"]), generator=generator)}

    def noise(seed: int, epoch: int, skip: int = 0) -> torch.Tensor:
        loader = BatchLoader(Numbered(12), 4, plain, [noisy], shuffle=True, seed=seed)
        for _ in range(skip):
            list(loader)
        torch.rand(skip)
        loader.set_epoch(epoch)
        return torch.cat([batch["noise"] for batch in loader])

    assert torch.equal(noise(1, 2), noise(1, 2, skip=1))
    assert not torch.equal(noise(1, 2), noise(1, 3))
    assert not torch.equal(noise(1, 2), noise(2, 2))
    assert len(noise(1, 2).unique()) == 12  # batches of one epoch differ too


def test_augment_comes_before_transform() -> None:
    steps = []
    loader = BatchLoader(
        Numbered(2),
        2,
        lambda batch: steps.append("transform") or batch,
        [lambda batch, _: steps.append("augment") or batch],
    )
    list(loader)
    assert steps == ["augment", "transform"]


def test_real_augmentation_repeats_bit_for_bit() -> None:
    def epoch() -> list[dict[str, torch.Tensor]]:
        loader = BatchLoader(
            Numbered(9), 4, NormalisePhotod("image"), [BatchAugment(rotate=90, brightness=0.2)], shuffle=True
        )
        loader.set_epoch(3)
        return list(loader)

    for first, second in zip(epoch(), epoch(), strict=True):
        assert first["image"].dtype == torch.float32
        assert all(torch.equal(first[key], second[key]) for key in ("image", "label", "index"))


def test_monai_transforms_see_each_image_by_itself() -> None:
    def epoch(seed: int, number: int) -> list[dict[str, torch.Tensor]]:
        noise = RandGaussianNoised("image", prob=0.5, std=100.0)
        loader = BatchLoader(Numbered(40), 8, plain, [BatchAugment(rotate=0), noise], shuffle=True, seed=seed)
        loader.set_epoch(number)
        return list(loader)

    batches, again, later = epoch(0, 1), epoch(0, 1), epoch(0, 2)
    for first, second in zip(batches, again, strict=True):
        assert torch.equal(first["image"], second["image"])
    assert not all(torch.equal(a["image"], b["image"]) for a, b in zip(batches, later, strict=True))
    spread = torch.cat([batch["image"].flatten(1).std(dim=1) for batch in batches])
    noisy = spread > 0.01  # without noise, an image is its own number everywhere
    assert 8 <= noisy.sum() <= 32  # some images of a batch, and not others


def test_labels_and_index_belong_to_their_images() -> None:
    for batch in BatchLoader(Numbered(11), 4, plain, shuffle=True):
        assert torch.equal(batch["image"][:, 0, 0, 0].long(), batch["index"])
        assert torch.equal(batch["label"][:, 0, 0, 0].long(), batch["index"] % 2)


def test_weights_draw_with_replacement() -> None:
    weights = [0.0, 1.0, 3.0, 0.0] * 250
    loader = BatchLoader(Numbered(1000), 100, lambda b: b, shuffle=True, weights=weights)
    drawn = torch.cat([batch["index"] for batch in loader])
    assert len(drawn) == 1000
    assert len(drawn.unique()) < 500
    assert set((drawn % 4).tolist()) == {1, 2}
    assert (drawn % 4 == 2).float().mean() == pytest.approx(0.75, abs=0.05)


def test_wrong_arguments_are_said_in_a_sentence() -> None:
    with pytest.raises(InputError, match="batch_size is 0"):
        BatchLoader(Numbered(3), 0, plain)
    with pytest.raises(InputError, match="2 sampling weights were given for 3 items"):
        BatchLoader(Numbered(3), 1, plain, shuffle=True, weights=[1, 2])
    with pytest.raises(InputError, match="without shuffle"):
        BatchLoader(Numbered(3), 1, plain, weights=[1, 2, 3])


@pytest.fixture
def as_process(monkeypatch):
    """Take the place of one of several processes."""

    def become(rank: int, world: int) -> None:
        monkeypatch.setattr(resident, "rank", lambda: rank)
        monkeypatch.setattr(resident, "world_size", lambda: world)

    return become


@pytest.mark.parametrize(("count", "world"), [(10, 2), (11, 3), (12, 4), (2, 3)])
def test_unshuffled_shares_are_disjoint_and_exhaustive(as_process, count, world) -> None:
    seen: list[int] = []
    for rank in range(world):
        as_process(rank, world)
        loader = BatchLoader(Numbered(count), 2, plain)
        share = numbers(loader)
        assert len(loader) == len(share)
        seen += flat(share)
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("weights", [None, [1.0] * 23])
def test_shuffled_shares_take_the_same_number_of_steps(as_process, weights) -> None:
    shares = []
    for rank in range(3):
        as_process(rank, 3)
        loader = BatchLoader(Numbered(23), 2, plain, shuffle=True, weights=weights)
        loader.set_epoch(4)
        shares.append(numbers(loader))
    assert [len(share) for share in shares] == [3, 3, 3]
    if weights is None:
        assert len(set(flat(flat(shares)))) == 18  # no image twice in an epoch


def test_processes_augment_differently(as_process) -> None:
    def first_draw(rank: int) -> float:
        as_process(rank, 2)
        draws: list[float] = []
        list(
            BatchLoader(
                Numbered(4), 2, plain, [lambda b, g: draws.append(torch.rand(1, generator=g).item()) or b]
            )
        )
        return draws[0]

    assert first_draw(0) != first_draw(1)


def test_memory_map_and_memory_give_the_same(tmp_path) -> None:
    from tests.data.test_pixel_cache import loading
    from tests.disc_dataset import write_discs

    mapped = ResidentDataset(write_discs(tmp_path / "photos", 7), loading(), tmp_path / "cache")
    held = ResidentDataset(mapped.data, loading(), tmp_path / "cache")
    held.pixels = PixelCache(mapped.pixels.images.clone(), mapped.pixels.labels.clone())
    assert not mapped.streams
    assert len(mapped) == 7
    assert torch.equal(mapped[2]["image"], held.pixels.images[2])
    for one, other in zip(
        BatchLoader(mapped, 3, plain, shuffle=True), BatchLoader(held, 3, plain, shuffle=True), strict=True
    ):
        assert all(torch.equal(one[key], other[key]) for key in ("image", "label", "index"))


class Streaming(Numbered):
    """Takes the road of a set too large for its GPU, which needs no GPU but for pinning memory."""

    streams = True

    def __init__(self, count: int, fail_at: int | None = None) -> None:
        super().__init__(count)
        self.gathered = 0
        self.fail_at = fail_at

    def gather(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.gathered == self.fail_at:
            raise OSError("the disk is gone")
        self.gathered += 1
        return super().gather(index)


@pytest.fixture
def unpinned(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)


def threads() -> int:
    return threading.active_count()


def test_streaming_gives_the_same_batches(unpinned) -> None:
    before = threads()
    for shuffle in (False, True):
        streamed = numbers(BatchLoader(Streaming(25), 4, plain, shuffle=shuffle))
        assert streamed == numbers(BatchLoader(Numbered(25), 4, plain, shuffle=shuffle))
    assert threads() == before


def test_streaming_works_ahead_but_not_far(unpinned) -> None:
    dataset = Streaming(400)
    batches = iter(BatchLoader(dataset, 4, plain))
    next(batches)
    ahead, deadline = 4, time.monotonic() + 60  # one taken, two in the queue, one in hand
    while dataset.gathered < ahead and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert dataset.gathered == ahead
    batches.close()


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_stopping_early_ends_the_thread(unpinned, taken) -> None:
    before = threads()
    batches = iter(BatchLoader(Streaming(400), 4, plain))
    for _ in range(taken):
        next(batches)
    start = time.monotonic()
    batches.close()
    assert time.monotonic() - start < 5
    assert threads() == before


@pytest.mark.parametrize("fail_at", [0, 3])
def test_an_error_in_the_thread_reaches_the_loop(unpinned, fail_at) -> None:
    before = threads()
    batches = iter(BatchLoader(Streaming(40, fail_at), 4, plain))
    for _ in range(fail_at):
        next(batches)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert threads() == before

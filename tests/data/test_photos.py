"""A photo that cannot be read costs only itself."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from monai.data import Dataset
from monai.transforms import Compose

from dermaseg_monai.data import photos as photos_module
from dermaseg_monai.data.photos import PhotoLoader
from dermaseg_monai.transforms import Fitd, LoadPhotod
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_discs


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    data = [{"id": item["id"], "image": item["image"]} for item in write_discs(tmp_path, 7)]
    return Dataset(data, Compose([LoadPhotod(keys="image"), Fitd(keys="image", size=(16, 16))]))


def ids(loader: PhotoLoader) -> list[list[str]]:
    return [[item["id"] for item in batch["items"]] for batch in loader]


def test_batches_in_order(dataset) -> None:
    batches = list(PhotoLoader(dataset, batch_size=3))
    assert [len(batch["items"]) for batch in batches] == [3, 3, 1]
    assert [item["id"] for batch in batches for item in batch["items"]] == [f"disc_{n}" for n in range(7)]
    for batch in batches:
        assert type(batch["image"]) is torch.Tensor
        assert batch["image"].shape == (len(batch["items"]), 3, 16, 16)
        for image, item in zip(batch["image"], batch["items"], strict=True):
            assert torch.equal(image, item["image"].as_tensor())
            assert item["image"].meta["filename_or_obj"].endswith(f"{item['id']}.png")


def test_a_bad_photo_is_listed_and_left_out(dataset, caplog) -> None:
    Path(dataset.data[2]["image"]).write_bytes(b"no photo")
    Path(dataset.data[6]["image"]).unlink()
    loader = PhotoLoader(dataset, batch_size=3)
    assert ids(loader) == [["disc_0", "disc_1", "disc_3"], ["disc_4", "disc_5"]]
    assert [failure["id"] for failure in loader.failures] == ["disc_2", "disc_6"]
    for failure in loader.failures:
        assert set(failure) == {"id", "image", "reason"}
        assert failure["image"] in failure["reason"]
        assert "\n" not in failure["reason"]
        assert failure["reason"] in caplog.text
    assert len(ids(loader)) == 2
    assert len(loader.failures) == 2  # a second pass starts its list anew


def test_none_readable_is_an_error(dataset) -> None:
    for item in dataset.data:
        Path(item["image"]).write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"^none of the 7 photos could be read; the first: .*disc_0\.png"):
        list(PhotoLoader(dataset))


def test_another_error_is_not_taken_for_a_bad_photo(dataset) -> None:
    dataset.transform = Compose([lambda item: item["nothing"]])
    with pytest.raises(RuntimeError, match="applying transform"):
        list(PhotoLoader(dataset))


def test_batch_size_must_be_positive(dataset) -> None:
    with pytest.raises(InputError, match="batch_size is 0"):
        PhotoLoader(dataset, batch_size=0)


class Watched(Dataset):
    """Counts how many photos are being decoded at once, and how many have been."""

    def __init__(self, count: int) -> None:
        super().__init__([{"id": str(n), "image": ""} for n in range(count)])
        self.lock, self.now, self.most, self.total = threading.Lock(), 0, 0, 0

    def __getitem__(self, index: int) -> dict:
        with self.lock:
            self.now, self.total = self.now + 1, self.total + 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.002)
        with self.lock:
            self.now -= 1
        return {"id": str(index), "image": torch.full((3, 2, 2), index)}


def test_threads_and_photos_ahead_are_bounded() -> None:
    dataset = Watched(200)
    before = threading.active_count()
    batches = iter(PhotoLoader(dataset, batch_size=4, workers=3))
    first = next(batches)
    assert [item["id"] for item in first["items"]] == ["0", "1", "2", "3"]
    assert threading.active_count() - before <= 4  # and tqdm's monitor
    threading.Event().wait(0.3)
    assert dataset.total <= 4 + 4 + 2 * 3
    batches.close()
    assert dataset.total < 30
    assert 2 <= dataset.most <= 3


def test_processes_share_the_photos(dataset, monkeypatch) -> None:
    seen = []
    for rank in range(3):
        monkeypatch.setattr(photos_module, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(photos_module, "world_size", lambda: 3)
        seen += [name for batch in ids(PhotoLoader(dataset, batch_size=2)) for name in batch]
    assert sorted(seen) == [f"disc_{n}" for n in range(7)]

"""Photos are decoded once; whatever changes leads to a new cache; half a cache is never read."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image

from dermaseg_monai.data import pixel_cache as pixel_cache_module
from dermaseg_monai.data.pixel_cache import open_pixel_cache
from dermaseg_monai.transforms import Fitd, LoadMaskd, LoadPhotod
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.fingerprint import describe
from tests.disc_dataset import write_disc, write_discs

# not forked: a fork takes over the locks of threads that it does not have
PROCESSES = multiprocessing.get_context("spawn")


def loading(size: tuple[int, int] = (16, 20), aspect: str = "squash") -> Compose:
    return Compose(
        [
            LoadPhotod(keys="image"),
            LoadMaskd(keys="label"),
            Fitd(keys=["image", "label"], size=size, aspect=aspect),
        ]
    )


class Counted:
    """A loading transform that counts how often it is called; it has settings of its own."""

    calls = 0

    def __init__(self, transform: Any = None, offset: Any = 0) -> None:
        self.transform = transform or loading()
        self.offset = offset

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        Counted.calls += 1
        return self.transform(item)


@pytest.fixture
def data(tmp_path: Path) -> list[dict[str, Any]]:
    Counted.calls = 0
    return write_discs(tmp_path / "photos", 6)


def cache_names(cache: Path) -> list[str]:
    return sorted(os.listdir(cache))


def test_it_holds_what_the_transform_makes(data, tmp_path) -> None:
    pixels = open_pixel_cache(data, loading(), tmp_path / "cache")
    assert pixels.images.shape == (6, 3, 16, 20)
    assert pixels.labels.shape == (6, 1, 16, 20)
    assert pixels.images.dtype == pixels.labels.dtype == torch.uint8
    assert pixels.bytes == 6 * 4 * 16 * 20
    for index, item in enumerate(data):
        expected = loading()(item)
        assert torch.equal(pixels.images[index], expected["image"].as_tensor())
        assert torch.equal(pixels.labels[index], expected["label"].as_tensor())


def test_several_masks_become_channels(data, tmp_path) -> None:
    five = [item | {"label": [other["label"] for other in data[:5]]} for item in data]
    pixels = open_pixel_cache(five, loading(), tmp_path / "cache")
    single = open_pixel_cache(data, loading(), tmp_path / "cache")
    assert pixels.labels.shape == (6, 5, 16, 20)
    assert torch.equal(pixels.labels[3], single.labels[:5, 0])


def test_a_second_run_reads_it_without_decoding(data, tmp_path) -> None:
    first = open_pixel_cache(data, Counted(), tmp_path / "cache")
    assert (
        Counted.calls == 7
    )  # the first photo is decoded once more, for its shape and for the name of the cache
    second = open_pixel_cache(data, Counted(), tmp_path / "cache")
    assert Counted.calls == 8
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    assert len(cache_names(tmp_path / "cache")) == 1


def test_changing_a_batch_in_place_leaves_the_file_alone(data, tmp_path) -> None:
    open_pixel_cache(data, loading(), tmp_path / "cache").images[:] = 0
    assert open_pixel_cache(data, loading(), tmp_path / "cache").images.float().mean() > 50


@pytest.mark.parametrize("changed", ["photo", "mask"])
def test_a_changed_file_gives_a_new_cache(data, tmp_path, changed) -> None:
    before = open_pixel_cache(data, loading(), tmp_path / "cache")
    write_disc(tmp_path / "other.png", 99)
    name, source = ("image", "other.png") if changed == "photo" else ("label", "other_segmentation.png")
    shutil.copyfile(tmp_path / source, data[4][name])
    after = open_pixel_cache(data, loading(), tmp_path / "cache")
    assert len(cache_names(tmp_path / "cache")) == 2
    same = {"photo": "labels", "mask": "images"}[changed]
    other = {"photo": "images", "mask": "labels"}[changed]
    assert torch.equal(getattr(before, same), getattr(after, same))
    assert not torch.equal(getattr(before, other)[4], getattr(after, other)[4])


@pytest.mark.parametrize(
    "transform",
    [
        loading((16, 24)),
        loading(aspect="pad"),
        Counted(),
        Counted(offset=1),
        Counted(offset=Path("a")),
        Counted(offset=Path("b")),
        Counted(offset=np.zeros(2)),
        Counted(offset=torch.zeros(2)),
        Counted(offset=np.zeros((2, 1))),
        Counted(offset=len),
        Counted(offset=sum),
        Counted(offset=loading),
    ],
)
def test_another_setting_gives_another_cache(data, tmp_path, transform) -> None:
    described = {str(describe(other)) for other in (loading(), transform)}
    assert len(described) == 2
    open_pixel_cache(data, loading(), tmp_path / "cache")
    open_pixel_cache(data, transform, tmp_path / "cache")
    assert len(cache_names(tmp_path / "cache")) == 2


def test_settings_are_told_apart_and_kept_apart() -> None:
    offsets = [0, 1, "1", None, True, [1, 2], {"a": 1}, Path("a"), np.zeros(2), np.ones(2), len, sum, loading]
    described = [str(describe(Counted(offset=offset))) for offset in offsets]
    assert len(set(described)) == len(offsets)
    assert described == [str(describe(Counted(offset=offset))) for offset in offsets]


def test_another_order_gives_another_cache(data, tmp_path) -> None:
    first = open_pixel_cache(data, loading(), tmp_path / "cache")
    turned = open_pixel_cache(data[::-1], loading(), tmp_path / "cache")
    assert torch.equal(first.images, turned.images.flip(0))


def test_a_failed_build_leaves_nothing(data, tmp_path) -> None:
    Path(data[3]["image"]).write_bytes(Path(data[3]["image"]).read_bytes()[:60])
    with pytest.raises(InputError, match=r"disc_3\.png"):
        open_pixel_cache(data, loading(), tmp_path / "cache")
    assert cache_names(tmp_path / "cache") == []


class Slow:
    """Takes its time, so that a kill or a second process meets a build under way."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        time.sleep(self.seconds)
        return loading()(item)


def test_a_killed_build_is_never_trusted(data, tmp_path) -> None:
    cache = tmp_path / "cache"
    process = PROCESSES.Process(target=open_pixel_cache, args=(data, Slow(0.2), cache))
    process.start()
    deadline = time.monotonic() + 120
    while not (cache.is_dir() and cache_names(cache)) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join(30)
    left = cache_names(cache)
    assert len(left) == 1
    assert left[0].startswith(".pixels-")
    pixels = open_pixel_cache(data, Slow(0), cache)
    assert torch.equal(pixels.images, open_pixel_cache(data, loading(), tmp_path / "other").images)


def test_two_builders_end_with_one_valid_cache(data, tmp_path) -> None:
    cache = tmp_path / "cache"
    builders = [PROCESSES.Process(target=open_pixel_cache, args=(data, Slow(0.05), cache)) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(120)
        builder.kill()
    assert [builder.exitcode for builder in builders] == [0, 0]
    assert len(cache_names(cache)) == 1
    pixels = open_pixel_cache(data, Slow(0.05), cache)
    assert torch.equal(pixels.images, open_pixel_cache(data, loading(), tmp_path / "other").images)


def test_two_threads_that_meet_in_the_middle(data, tmp_path) -> None:
    barrier = threading.Barrier(2, timeout=20)
    images = []

    def build() -> None:
        met = threading.Event()

        class Meeting(Slow):
            def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
                if item["image"] == data[-1]["image"] and not met.is_set():
                    met.set()
                    barrier.wait()
                return loading()(item)

        images.append(open_pixel_cache(data, Meeting(0), tmp_path / "cache").images)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(cache_names(tmp_path / "cache")) == 1
    assert torch.equal(*images)


def test_an_unwritable_cache_falls_back(data, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(pixel_cache_module.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "file").write_text("no folder")
    open_pixel_cache(data, Counted(), tmp_path / "file" / "cache")
    calls = Counted.calls
    open_pixel_cache(data, Counted(), tmp_path / "file" / "cache")
    assert Counted.calls == calls + 1
    (fallback,) = tmp_path.glob("dermaseg-*")
    assert len(cache_names(fallback)) == 1
    assert "cannot be written" in caplog.text


def test_a_cache_in_a_read_only_folder_is_used(data, tmp_path, monkeypatch) -> None:
    open_pixel_cache(data, Counted(), tmp_path / "cache")
    calls = Counted.calls
    monkeypatch.setattr(pixel_cache_module.os, "access", lambda *_: False)
    open_pixel_cache(data, Counted(), tmp_path / "cache")
    assert Counted.calls == calls + 1


def test_a_full_disk_is_said_beforehand(data, tmp_path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(pixel_cache_module.shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(InputError, match=r"^decoding 6 images takes .* --cache_dir elsewhere\.$"):
        open_pixel_cache(data, loading(), tmp_path / "cache")
    assert cache_names(tmp_path / "cache") == []


@pytest.mark.parametrize("index", [0, 3])
@pytest.mark.parametrize("name", ["image", "label"])
def test_a_missing_file_is_named(data, tmp_path, index, name) -> None:
    Path(data[index][name]).unlink()
    with pytest.raises(InputError, match=Path(data[index][name]).name) as caught:
        open_pixel_cache(data, loading(), tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_an_empty_list_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="the data list is empty"):
        open_pixel_cache([], loading(), tmp_path / "cache")


def test_shapes_must_agree(data, tmp_path) -> None:
    Image.open(data[2]["image"]).resize((30, 30)).save(data[2]["image"])
    Image.open(data[2]["label"]).resize((30, 30), Image.Resampling.NEAREST).save(data[2]["label"])
    unfitted = Compose([LoadPhotod(keys="image"), LoadMaskd(keys="label")])
    with pytest.raises(InputError, match=r"disc_2\.png becomes \(3, 30, 30\) .* \(3, 40, 48\); resize"):
        open_pixel_cache(data, unfitted, tmp_path / "cache")
    assert cache_names(tmp_path / "cache") == []

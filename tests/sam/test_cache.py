"""The embedding cache: exact, never stale, shared, and whole after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dermaseg_monai.sam import EmbeddingCache, MedSamPreprocessd, SamNetwork, SamPreprocessd
from dermaseg_monai.transforms import LoadPhotod
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import tiny_network, two_discs, write_discs


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    return [item["image"] for item in write_discs(tmp_path / "photos", 3)]


def counted(network: SamNetwork, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the passes through the encoder."""
    calls: list[int] = []
    encode = network.encode
    monkeypatch.setattr(network, "encode", lambda images: calls.append(len(images)) or encode(images))
    return calls


def cache_of(tmp_path: Path, network: SamNetwork, **arguments: Any) -> EmbeddingCache:
    return EmbeddingCache(network, SamPreprocessd(size=64), tmp_path / "cache", **arguments)


def test_embeddings_are_the_encoder_s_in_half_precision(tmp_path: Path, photos: list[str]) -> None:
    network = tiny_network()
    embedding = cache_of(tmp_path, network).get(photos[0])
    image = SamPreprocessd(size=64)(LoadPhotod("image")({"image": photos[0]}))["image"]
    with torch.no_grad():
        expected = network.encode(image.as_tensor()[None])[0]
    assert embedding.dtype == torch.float16
    torch.testing.assert_close(embedding.float(), expected, rtol=1e-3, atol=1e-4)


def test_each_photo_is_embedded_once(
    tmp_path: Path, photos: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny_network()
    calls = counted(network, monkeypatch)
    cache_of(tmp_path, network).fill([*photos, photos[0]])
    assert calls == [1, 1, 1]
    again = cache_of(tmp_path, network)
    files = again.fill(photos)
    torch.testing.assert_close(again.get(photos[1]), again.read(files[1]), rtol=0, atol=0)
    assert calls == [1, 1, 1]
    # a copy of a photo is the same photo
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(photos[2]).read_bytes())
    again.get(copy)
    assert len(calls) == 3


class TestNothingStale:
    def test_changed_photo(self, tmp_path: Path, photos: list[str]) -> None:
        cache = cache_of(tmp_path, tiny_network())
        before, stat = cache.get(photos[0]), os.stat(photos[0])
        Image.fromarray(two_discs(77)[0]).save(photos[0])
        os.utime(photos[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))  # even where its time says otherwise
        assert not torch.equal(cache.get(photos[0]), before)

    def test_changed_weights(self, tmp_path: Path, photos: list[str]) -> None:
        network = tiny_network()
        cache = cache_of(tmp_path, network)
        paths = [cache.path(photos[0])]
        with torch.no_grad():
            network.image_encoder.neck[0].weight[0, 0] += 1e-3
        paths.append(cache.path(photos[0]))
        network.load_state_dict(tiny_network(5).state_dict())
        paths.append(cache.path(photos[0]))
        network.image_encoder.pos_embed.data = torch.ones_like(network.image_encoder.pos_embed)
        paths.append(cache.path(photos[0]))
        assert len(set(paths)) == 4

    def test_decoder_does_not_count(self, tmp_path: Path, photos: list[str]) -> None:
        network = tiny_network()
        cache = cache_of(tmp_path, network)
        path = cache.path(photos[0])
        with torch.no_grad():
            network.mask_decoder.iou_token.weight += 1
        assert cache.path(photos[0]) == path
        assert cache_of(tmp_path, tiny_network()).path(photos[0]) == path

    def test_other_preprocessing_or_precision(self, tmp_path: Path, photos: list[str]) -> None:
        network = tiny_network()
        caches = [
            cache_of(tmp_path, network),
            cache_of(tmp_path, network, amp=True),
            EmbeddingCache(network, MedSamPreprocessd(size=64), tmp_path / "cache"),
        ]
        assert len({cache.path(photos[0]) for cache in caches}) == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "shape", "type"])
def test_damaged_file_is_computed_again(tmp_path: Path, photos: list[str], damage: str) -> None:
    cache = cache_of(tmp_path, tiny_network())
    before, path = cache.get(photos[0]), cache.path(photos[0])
    if damage == "shape":
        np.save(path, np.zeros((32, 8, 8), np.float16))
    elif damage == "type":
        np.save(path, np.zeros((32, 16, 16), np.float32))
    else:
        path.write_bytes({"cut": path.read_bytes()[:-7], "empty": b"", "text": b"no array"}[damage])
    torch.testing.assert_close(cache.get(photos[0]), before, rtol=0, atol=0)
    torch.testing.assert_close(cache.read(path), before, rtol=0, atol=0)


def test_two_at_once_share_a_folder(tmp_path: Path, photos: list[str]) -> None:
    caches = [cache_of(tmp_path, tiny_network()) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        files = list(pool.map(lambda cache: cache.fill(photos), caches))
    assert files[0] == files[1]
    assert sorted((tmp_path / "cache").rglob("*.npy")) == sorted(files[0])


_FILL = """
import sys
from pathlib import Path
from dermaseg_monai.sam import EmbeddingCache, SamPreprocessd
from tests.sam.helpers import tiny_network
folder = Path(sys.argv[1])
photos = sorted(folder.glob("photos/disc_???.png"))
EmbeddingCache(tiny_network(), SamPreprocessd(size=64), folder / "cache").fill(photos)
"""


def test_a_kill_leaves_what_was_finished(tmp_path: Path) -> None:
    photos = [item["image"] for item in write_discs(tmp_path / "photos", 80)]
    process = subprocess.Popen([sys.executable, "-c", _FILL, str(tmp_path)], cwd=Path(__file__).parents[2])
    folder = tmp_path / "cache"
    while process.poll() is None and len(list(folder.rglob("[!.]*.npy"))) < 5:
        time.sleep(0.005)
    process.kill()
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*.npy")}
    assert 5 <= len(finished) < 80
    network = tiny_network()
    files = cache_of(tmp_path, network).fill(photos)
    assert len(set(files)) == 80
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    fresh = EmbeddingCache(network, SamPreprocessd(size=64), tmp_path / "fresh")
    for photo, path in list(zip(photos, files, strict=True))[:8]:
        torch.testing.assert_close(fresh.read(path), fresh.get(photo), rtol=1e-2, atol=1e-3)


def test_refusals(tmp_path: Path, photos: list[str]) -> None:
    cache = cache_of(tmp_path, tiny_network())
    with pytest.raises(InputError, match=r"none\.png: there is no such file"):
        cache.get(tmp_path / "none.png")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        EmbeddingCache(tiny_network(), SamPreprocessd(size=64), tmp_path / "file").get(photos[0])

"""Image embeddings on disk, so that a photo passes through the image encoder once."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from dermaseg_monai.image_files import check_file
from dermaseg_monai.sam.network import SamNetwork
from dermaseg_monai.sam.preprocess import PromptPreprocessd
from dermaseg_monai.transforms import LoadPhotod
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import sweep, write_bytes
from dermaseg_monai.utils.precision import autocast, half_dtype
from dermaseg_monai.utils.threads import bounded_map

logger = logging.getLogger(__name__)


class EmbeddingCache:
    """Embeddings of photos in half precision, one file each, computed where they are missing.

    A file's name is a hash of the image encoder's weights, of the preprocessing and of the photo's bytes, so a
    changed photo, setting or weight leads to another file and nothing stale is ever read. Files appear whole, by
    renaming; a run that is killed leaves what it finished. Several processes may share a folder: at worst they
    compute an embedding twice.

    Args:
        network: its image encoder embeds, on the device where it is.
        preprocess: makes photos the network's input.
        cache_dir: folder of the files.
        amp: embed under autocast, see :func:`dermaseg_monai.utils.precision.half_dtype`.
    """

    def __init__(
        self,
        network: SamNetwork,
        preprocess: PromptPreprocessd,
        cache_dir: str | os.PathLike[str],
        amp: bool | str | None = False,
    ) -> None:
        self.network = network
        self.preprocess = preprocess
        self.cache_dir = Path(cache_dir)
        self.half = half_dtype(amp, next(network.image_encoder.parameters()).device)
        self._load = LoadPhotod("image")
        self._lock = threading.Lock()
        self._weights: tuple[tuple[tuple[int, int], ...], str] | None = None

    def path(self, photo: str | os.PathLike[str]) -> Path:
        """The file that holds, or will hold, the embedding of a photo.

        Raises:
            InputError: the photo cannot be read.
        """
        check_file(Path(photo))
        try:
            content = Path(photo).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {photo} ({error.strerror}).") from error
        digest = hashlib.sha256(self._setting().encode())
        digest.update(hashlib.sha256(content).digest())
        key = digest.hexdigest()
        return self.cache_dir / key[:2] / f"{key}.npy"

    def get(self, photo: str | os.PathLike[str]) -> torch.Tensor:
        """The embedding of a photo, computed and kept where it is missing.

        Args:
            photo: its path.

        Returns:
            float16 ``(C, h, w)``, on the CPU.

        Raises:
            InputError: the photo cannot be read, or the folder not be written.
        """
        path = self.path(photo)
        stored = self.read(path)
        return self._compute(photo, path) if stored is None else stored

    def fill(self, photos: Sequence[str | os.PathLike[str]]) -> list[Path]:
        """Compute what is missing.

        Args:
            photos: their paths.

        Returns:
            The file of each photo's embedding, all of which exist.

        Raises:
            InputError: a photo cannot be read, or the folder not be written.
        """
        self._setting()  # hashed once, before threads ask for it
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            names = [os.fspath(photo) for photo in photos]
            paths = list(pool.map(self.path, names))
            missing = [
                (photo, path)
                for photo, path in dict(zip(names, paths, strict=True)).items()
                if self.read(path) is None
            ]
            for folder in {path.parent for _, path in missing}:
                sweep(folder)
            # photos are decoded ahead of the encoder, a few at a time
            images = bounded_map(pool, lambda entry: self._image(entry[0]), missing, ahead=4)
            progress = tqdm(images, total=len(missing), desc="embedding", unit="photo", disable=None)
            for (_, path), image in zip(missing, progress, strict=True):
                self._store(image, path)
        if missing:
            logger.info("embedded %d photos into %s", len(missing), self.cache_dir)
        return paths

    def read(self, path: Path) -> torch.Tensor | None:
        """Read a file of the cache; None where there is none, or none that is whole."""
        try:
            array = np.load(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, EOFError):
            logger.warning("%s is damaged and will be computed again", path)
            return None
        if array.shape != self._shape() or array.dtype != np.float16:
            logger.warning("%s is damaged and will be computed again", path)
            return None
        return torch.from_numpy(array)

    def _compute(self, photo: str | os.PathLike[str], path: Path) -> torch.Tensor:
        return self._store(self._image(photo), path)

    def _image(self, photo: str | os.PathLike[str]) -> torch.Tensor:
        item = self.preprocess(self._load({"image": photo}))
        return item["image"].as_tensor()

    def _store(self, image: torch.Tensor, path: Path) -> torch.Tensor:
        device = next(self.network.image_encoder.parameters()).device
        with torch.no_grad(), autocast(device, self.half):
            embedding = self.network.encode(image[None].to(device))[0]
        half = embedding.to("cpu", torch.float16)
        buffer = io.BytesIO()
        np.save(buffer, half.numpy())
        write_bytes(path, buffer.getvalue())
        return half

    def _shape(self) -> tuple[int, int, int]:
        encoder = self.network.prompt_encoder
        return (encoder.embed_dim, *encoder.image_embedding_size)

    def _setting(self) -> str:
        """Everything but the photo that an embedding depends on."""
        with self._lock:
            state = self.network.image_encoder.state_dict()
            # a tensor that is written to gets a new version, one that is replaced a new address
            marks = tuple((tensor.data_ptr(), tensor._version) for tensor in state.values())
            if self._weights is None or self._weights[0] != marks:
                self._weights = (marks, _hash_of_state(state))
            precision = str(self.half or torch.float32).removeprefix("torch.")
            return f"{self._weights[1]} {self.preprocess.describe()} {precision}"


def _hash_of_state(state: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()

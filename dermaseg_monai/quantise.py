"""ONNX models in 8-bit integers, for CPUs."""

from __future__ import annotations

import logging
import os
import random
import tempfile
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dermaseg_monai.data import list_photos
from dermaseg_monai.errors import InputError
from dermaseg_monai.files import atomic_path
from dermaseg_monai.transforms import Fitd, LoadPhotod, NormalisePhotod

logger = logging.getLogger(__name__)


def network_inputs(photos: Iterable[Path], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """What a network is fed of each photo: float32 ``(1, 3, H, W)``, resized to ``size`` and normalised."""
    steps = (
        LoadPhotod("image", reduce_to=2 * max(size)),
        Fitd("image", size=size),
        NormalisePhotod("image"),
    )
    for photo in photos:
        item: dict[Hashable, Any] = {"image": str(photo)}
        for step in steps:
            item = step(item)
        yield item["image"].as_tensor().numpy()[None]


def quantise(
    model: str | os.PathLike[str],
    photos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    count: int = 128,
    seed: int = 0,
) -> Path:
    """Turn an exported ONNX model into one that computes in 8-bit integers.

    Weights are quantised per output channel, activations by the range that they take on example photos
    (static quantisation, QDQ format). Inputs and logits stay float32.

    Args:
        model: ONNX file, a batch ``(B, 3, H, W)`` in, with H and W fixed.
        photos: folder of example photos, best those that the network was trained on.
        output: ONNX file to write.
        count: how many of the photos are looked at, drawn at random.
        seed: start of that randomness.

    Returns:
        ``output``.

    Raises:
        InputError: ONNX Runtime is not installed, the model cannot be read or has no fixed size, or the
            folder has no photos.

    Reference: Jacob et al. Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference. CVPR 2018. arXiv:1712.05877
    """
    try:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise InputError(
            f'quantising needs {error.name}; run pip install "dermaseg-monai[export]".'
        ) from None
    try:
        given = onnx.load(os.fspath(model)).graph.input[0]
    except Exception as error:
        raise InputError(
            f"{model} is not an ONNX model ({type(error).__name__}); export one first."
        ) from error
    *_, height, width = (axis.dim_value for axis in given.type.tensor_type.shape.dim)
    if not (height and width):
        raise InputError(f"{model} has no fixed height and width; export it with --input_shape.")
    found = [Path(photo["image"]) for photo in list_photos(photos)]
    chosen = random.Random(seed).sample(found, min(count, len(found)))

    class Examples(CalibrationDataReader):
        def __init__(self) -> None:
            progress = tqdm(chosen, desc="calibrating", unit="photo", disable=None)
            self.inputs = network_inputs(progress, (height, width))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.inputs, None)
            return None if image is None else {given.name: image}

    with tempfile.TemporaryDirectory() as folder, atomic_path(output) as temporary:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(os.fspath(model), prepared, skip_symbolic_shape=True)
        # unsigned activations: the fast kernels of x86 CPUs multiply unsigned by signed
        quantize_static(prepared, temporary, Examples(), per_channel=True, activation_type=QuantType.QUInt8)
    logger.info("quantised %s on %d photos into %s", model, len(chosen), output)
    return Path(output)

"""ONNX models in 8-bit integers, for CPUs."""

from __future__ import annotations

import logging
import math
import os
import random
import shutil
import tempfile
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dermaseg_monai.data import list_photos
from dermaseg_monai.transforms import Fitd, LoadPhotod, NormalisePhotod
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import atomic_path

logger = logging.getLogger(__name__)

_FAR = 0.1  # error from which a model counts as far off


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


class Difference(NamedTuple):
    """How far two models differ on the same photos.

    Attributes:
        error: root mean square difference of the logits, as a share of their standard deviation.
        changed: share of the pixels (of all channels) that are decided otherwise, 0 to 1.
    """

    error: float
    changed: float


class Quantised(NamedTuple):
    """What :func:`quantise` made.

    Attributes:
        path: the file.
        weights: "signed" or "unsigned".
        difference: from the float model, on the example photos and this machine.
    """

    path: Path
    weights: str
    difference: Difference


def compare(
    model: str | os.PathLike[str], other: str | os.PathLike[str], images: Iterable[np.ndarray]
) -> Difference:
    """Compare the logits of two ONNX models on this machine.

    Args:
        model: the model to compare with.
        other: another one of the same inputs and logits (B, C, H, W); of two channels the larger decides, of one
            or more than two the sign of each.
        images: what both are fed.

    Returns:
        How far ``other`` differs.
    """
    import onnxruntime

    sessions = [
        onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
        for path in (model, other)
    ]
    moments, squares, changed, pixels, count = np.zeros(2), 0.0, 0, 0, 0
    for image in images:
        expected, actual = (
            session.run(None, {session.get_inputs()[0].name: image})[0] for session in sessions
        )
        moments += expected.mean(dtype=np.float64), np.square(expected, dtype=np.float64).mean()
        squares += np.square(actual - expected, dtype=np.float64).mean()
        decided = [
            logits[:, 1:] > logits[:, :1] if logits.shape[1] == 2 else logits > 0
            for logits in (expected, actual)
        ]
        changed += int(np.count_nonzero(decided[0] != decided[1]))
        pixels += decided[0].size
        count += 1
    mean, mean_square = moments / count
    deviation = math.sqrt(mean_square - mean**2)
    return Difference(math.sqrt(squares / count) / max(deviation, 1e-12), changed / pixels)


def quantise(
    model: str | os.PathLike[str],
    photos: str | os.PathLike[str],
    output: str | os.PathLike[str],
    count: int = 128,
    seed: int = 0,
    portable: bool = False,
) -> Quantised:
    """Turn an exported ONNX model into one that computes in 8-bit integers, and compare the two.

    Weights are quantised per output channel, activations by the range that they take on example photos
    (static quantisation, QDQ format). Inputs and logits stay float32.

    Signed weights are the fast ones. But on x86 processors without VNNI instructions (before Intel's Cascade Lake
    and AMD's Zen 4) ONNX Runtime adds products of unsigned activations and signed weights in pairs to 16 bits,
    which may overflow. So a model with signed weights is compared with ``model`` on the machine at hand; where it
    is far off and unsigned weights are not, those are taken. Unsigned weights give the same on every processor,
    at no more than the speed of float32.

    Args:
        model: ONNX file, a batch ``(B, 3, H, W)`` in, with H and W fixed.
        photos: folder of example photos, best those that the network was trained on.
        output: ONNX file to write.
        count: how many of the photos are looked at, drawn at random.
        seed: start of that randomness.
        portable: take unsigned weights, for processors other than that of this machine.

    Returns:
        The file, its kind of weights, and the difference that was found.

    Raises:
        InputError: ONNX Runtime is not installed, the model cannot be read or has no fixed size, or the
            folder has no photos.

    Reference: Jacob et al. Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference. CVPR 2018. arXiv:1712.05877
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise InputError(
            f'quantising needs {error.name}; run pip install "dermaseg-monai[export]".'
        ) from None
    try:
        axes = onnx.load(os.fspath(model)).graph.input[0].type.tensor_type.shape.dim
    except Exception as error:
        raise InputError(
            f"{model} is not an ONNX model ({type(error).__name__}); export one first."
        ) from error
    *_, height, width = (axis.dim_value for axis in axes)
    if not (height and width):
        raise InputError(f"{model} has no fixed height and width; export it with --input_shape.")
    every = [Path(photo["image"]) for photo in list_photos(photos)]
    chosen = random.Random(seed).sample(every, min(count, len(every)))

    def images(purpose: str) -> Iterator[np.ndarray]:
        return network_inputs(tqdm(chosen, desc=purpose, unit="photo", disable=None), (height, width))

    def write(path: Path, weight_type: QuantType) -> Difference:
        _write(prepared, path, images("calibrating"), weight_type)
        return compare(model, path, images("comparing"))

    with tempfile.TemporaryDirectory() as folder, atomic_path(output) as temporary:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(os.fspath(model), prepared, skip_symbolic_shape=True)
        weights = "unsigned" if portable else "signed"
        difference = write(temporary, QuantType.QUInt8 if portable else QuantType.QInt8)
        if not portable and difference.error > _FAR:
            other = Path(folder) / "unsigned.onnx"
            others = write(other, QuantType.QUInt8)
            if others.error < difference.error / 2:
                logger.warning(
                    "signed weights overflow on this processor (logits differ by %.1f %% of their standard "
                    "deviation): unsigned ones are taken",
                    100 * difference.error,
                )
                weights, difference = "unsigned", others
                shutil.copyfile(other, temporary)
    logger.info("quantised %s on %d photos into %s", model, len(chosen), output)
    if difference.error > _FAR:
        logger.warning("the 8-bit model is far from %s; compare their scores before it is used", model)
    return Quantised(Path(output), weights, difference)


def _write(model: Path, path: Path, images: Iterator[np.ndarray], weight_type: Any) -> None:
    """Quantise a prepared model, with the ranges that its activations take on ``images``."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    name = onnx.load(model).graph.input[0].name

    class Examples(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(images, None)
            return None if image is None else {name: image}

    quantize_static(
        model,
        path,
        Examples(),
        per_channel=True,
        activation_type=QuantType.QUInt8,  # the fast kernels of x86 CPUs multiply unsigned by signed
        weight_type=weight_type,
        extra_options={"WeightSymmetric": True},  # the kernels want one zero point for all channels
    )

"""An 8-bit model answers like the one it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dermaseg_monai.inference import quantise as module
from dermaseg_monai.inference.quantise import Difference, compare, network_inputs, quantise
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_discs

SIZE = (24, 32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for item in write_discs(folder, 6):
        Path(item["label"]).unlink()
    return folder


def export(path: Path, height: int | str = SIZE[0]) -> Path:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 1, 3, padding=1)
    ).eval()
    names = {"input_names": ["image"], "output_names": ["pred"]}
    axes = {"image": {0: "batch"} | ({2: height} if isinstance(height, str) else {}), "pred": {0: "batch"}}
    torch.onnx.export(network, (torch.zeros(1, 3, *SIZE),), path, dynamic_axes=axes, dynamo=False, **names)
    return path


def logits_of(model: Path, photos: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = list(network_inputs(sorted(photos.iterdir()), SIZE))
    assert {(image.shape, image.dtype) for image in images} == {((1, 3, *SIZE), np.dtype(np.float32))}
    return np.concatenate([session.run(None, {"image": image})[0] for image in images])


def integers_of(model: Path) -> set[str]:
    """Types of the convolutions' weights."""
    return {
        onnx.TensorProto.DataType.Name(weight.data_type)
        for weight in onnx.load(model).graph.initializer
        if tuple(weight.dims) in {(16, 3, 3, 3), (1, 16, 3, 3)}
    }


@pytest.mark.parametrize("portable", [False, True])
def test_logits_stay_close_and_weights_become_integers(photos: Path, tmp_path: Path, portable: bool) -> None:
    exact = export(tmp_path / "model.onnx")
    made = quantise(exact, photos, tmp_path / "new" / "int8.onnx", count=6, portable=portable)
    # on a processor without VNNI signed weights are far off for this network, and not taken
    assert made.weights in ({"unsigned"} if portable else {"signed", "unsigned"})
    assert integers_of(made.path) == {{"signed": "INT8", "unsigned": "UINT8"}[made.weights]}
    expected, actual = logits_of(exact, photos), logits_of(made.path, photos)
    assert actual.shape == expected.shape
    assert 0 < np.abs(actual - expected).max() < 0.05 * np.ptp(expected)
    error = np.sqrt(np.mean((actual - expected) ** 2)) / expected.std()
    assert made.difference == pytest.approx((error, np.mean((actual > 0) != (expected > 0))), rel=1e-3)
    assert [path.name for path in made.path.parent.iterdir()] == ["int8.onnx"]


@pytest.mark.parametrize(("unsigned", "taken"), [(0.01, "UINT8"), (0.4, "INT8")])
def test_signed_weights_that_overflow_are_not_taken(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    unsigned: float,
    taken: str,
) -> None:
    errors = {"INT8": 0.5, "UINT8": unsigned}

    def overflowing(_: Path, other: Path, images: Iterator[np.ndarray]) -> Difference:
        return Difference(errors[integers_of(other).pop()], 0.0)

    monkeypatch.setattr(module, "compare", overflowing)
    made = quantise(export(tmp_path / "model.onnx"), photos, tmp_path / "int8.onnx", count=1)
    assert integers_of(made.path) == {taken}
    assert made.weights == {"INT8": "signed", "UINT8": "unsigned"}[taken]
    assert made.difference == (errors[taken], 0.0)
    assert ("overflow on this processor" in caplog.text) == (taken == "UINT8")
    assert ("is far from" in caplog.text) == (taken == "INT8")


@pytest.mark.parametrize("channels", [1, 2, 3], ids=["sign", "larger of two", "signs"])
def test_difference_of_models_of_known_logits(tmp_path: Path, channels: int) -> None:
    """One model gives its input, the other the input with every fourth pixel negated."""
    image = np.random.default_rng(0).normal(size=(1, channels, 4, 8)).astype(np.float32)
    factors = np.ones((1, channels, 4, 8), dtype=np.float32)
    factors[..., ::4] = -1
    both = (np.ones_like(factors), factors)
    paths = []
    for name, values in zip(("model", "other"), both, strict=True):
        ends = [
            onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, image.shape)
            for end in ("image", "pred")
        ]
        node = onnx.helper.make_node("Mul", ["image", "factors"], ["pred"])
        weights = [onnx.numpy_helper.from_array(values, "factors")]
        graph = onnx.helper.make_graph([node], name, ends[:1], ends[1:], weights)
        opset = [onnx.helper.make_opsetid("", 17)]
        paths.append(tmp_path / f"{name}.onnx")
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), paths[-1])
    images = [image, 2 * image]
    expected, actual = (
        np.concatenate([each * values for each in images]) for values in (np.ones_like(factors), factors)
    )
    error = np.sqrt(np.mean((actual - expected) ** 2)) / expected.std()
    assert compare(*paths, images) == pytest.approx((error, 1 / 4), rel=1e-5)


def test_the_choice_of_photos_is_that_of_the_seed(photos: Path, tmp_path: Path) -> None:
    model = export(tmp_path / "model.onnx")
    first, again, other = (
        quantise(model, photos, tmp_path / f"{name}.onnx", count=1, seed=seed).path.read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 3))
    )
    assert first == again != other


def test_what_is_wrong_is_said(photos: Path, tmp_path: Path) -> None:
    model, output = export(tmp_path / "model.onnx"), tmp_path / "int8.onnx"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no photo, .*\.$"):
        quantise(model, tmp_path / "empty", output)
    with pytest.raises(InputError, match=r"missing\.onnx is not an ONNX model \(FileNotFoundError\); .*\.$"):
        quantise(tmp_path / "missing.onnx", photos, output)
    with pytest.raises(InputError, match=r"no fixed height and width; export it with --input_shape\.$"):
        quantise(export(tmp_path / "free.onnx", "height"), photos, output)
    assert not output.exists()

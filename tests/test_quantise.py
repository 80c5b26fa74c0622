"""An 8-bit model answers like the one it was made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dermaseg_monai.errors import InputError
from dermaseg_monai.quantise import network_inputs, quantise

from .data.discs import write_discs

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


def test_logits_stay_close_and_weights_become_integers(photos: Path, tmp_path: Path) -> None:
    exact = export(tmp_path / "model.onnx")
    small = quantise(exact, photos, tmp_path / "new" / "int8.onnx", count=6)
    integers = [w for w in onnx.load(small).graph.initializer if w.data_type == onnx.TensorProto.INT8]
    assert {tuple(weight.dims) for weight in integers} >= {(16, 3, 3, 3), (1, 16, 3, 3)}
    sessions = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (exact, small)
    ]
    for image in network_inputs(sorted(photos.iterdir()), SIZE):
        assert image.shape == (1, 3, *SIZE)
        assert image.dtype == np.float32
        expected, found = (session.run(None, {"image": image})[0] for session in sessions)
        assert found.shape == expected.shape
        assert 0 < np.abs(found - expected).max() < 0.05 * np.ptp(expected)
    assert [path.name for path in small.parent.iterdir()] == ["int8.onnx"]


def test_the_choice_of_photos_is_that_of_the_seed(photos: Path, tmp_path: Path) -> None:
    model = export(tmp_path / "model.onnx")
    first, again, other = (
        quantise(model, photos, tmp_path / f"{name}.onnx", count=1, seed=seed).read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 3))
    )
    assert first == again != other


def test_what_is_wrong_is_said(photos: Path, tmp_path: Path) -> None:
    model, output = export(tmp_path / "model.onnx"), tmp_path / "int8.onnx"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no photo .*\.$"):
        quantise(model, tmp_path / "empty", output)
    with pytest.raises(InputError, match=r"missing\.onnx is not an ONNX model \(FileNotFoundError\); .*\.$"):
        quantise(tmp_path / "missing.onnx", photos, output)
    with pytest.raises(InputError, match=r"no fixed height and width; export it with --input_shape\.$"):
        quantise(export(tmp_path / "free.onnx", "height"), photos, output)
    assert not output.exists()

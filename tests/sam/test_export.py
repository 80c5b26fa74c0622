"""Encoder and decoder as ONNX files, against the network itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from dermaseg_monai.sam import PromptSession, SamPreprocessd, export
from tests.sam.helpers import tiny_network


@pytest.mark.parametrize("several", [False, True])
@torch.no_grad()
def test_the_files_answer_as_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    network = tiny_network(multimask=several)
    session = PromptSession(network, SamPreprocessd(size=64))
    monkeypatch.setattr(export.PromptSession, "of_bundle", lambda *_, **__: session)
    encoder, decoder = (
        onnxruntime.InferenceSession(path) for path in export.export_onnx(tmp_path, "lesion_sam")
    )
    image = torch.randn(1, 3, 64, 64)
    (embedding,) = encoder.run(None, {"image": image.numpy()})
    torch.testing.assert_close(torch.from_numpy(embedding), network.encode(image), rtol=1e-4, atol=1e-4)
    mask = torch.randn(1, 1, 64, 64)
    box, corners = [[8.0, 12.0, 40.0, 44.0]], [[8.0, 12.0], [40.0, 44.0]]
    clicks = [[20.0, 24.0], [50.0, 10.0]]
    for points, labels, has_mask, expected in (
        (corners, [2, 3], 0, {"boxes": box}),
        ([*clicks, [0.0, 0.0]], [1, 0, -1], 0, {"points": [clicks], "labels": [[1, 0]]}),
        ([*clicks, *corners], [1, 0, 2, 3], 1, {"boxes": box, "points": [clicks], "labels": [[1, 0]]}),
    ):
        prompts = {name: torch.tensor(value) for name, value in expected.items()}
        if has_mask:
            prompts["masks"] = mask
        logits, quality = decoder.run(
            None,
            {
                "embedding": embedding,
                "points": np.array([points], np.float32),
                "labels": np.array([labels], np.float32),
                "mask": mask.numpy(),
                "has_mask": np.array([has_mask], np.float32),
            },
        )
        direct = network.decode_tensors(torch.from_numpy(embedding), **prompts)
        torch.testing.assert_close(torch.from_numpy(logits), direct, rtol=1e-3, atol=1e-4)
        assert quality.shape == (1,)

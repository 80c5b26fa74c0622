"""Uncertainty of photos, from networks whose uncertainty is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dermaseg_monai.monai_label.scores import Scores, uncertainties, written_at
from dermaseg_monai.networks import UNet
from tests.disc_dataset import write_disc
from tests.monai_label.bundles import small_copy


def constant(name: str, folder: Path, logits: list[float]) -> Path:
    """A copy of a bundle whose network gives the same logits everywhere."""
    bundle = small_copy(name, folder, **{"network_def#features": [4, 8], "amp": False})
    network = UNet(out_channels=len(logits), features=(4, 8))
    torch.nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor(logits))
    (bundle / "models").mkdir()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    return bundle


@pytest.mark.parametrize(
    ("name", "logits", "expected"),
    [
        # entropies: 0.811278 bits at 3/4 and at 1/4, 1 bit at 1/2
        ("lesion_unet", [1.098612], 0.811278),
        ("lesion_unet", [-1.098612], 0.811278 * 32 * 32),  # nothing is predicted: as if one pixel were
        ("attribute_unet", [0.0, -1.098612, 0.0, 1.098612, 0.0], (3 + 2 * 0.811278) / 5),
    ],
)
def test_entropy(name: str, logits: list[float], expected: float, tmp_path: Path) -> None:
    bundle = constant(name, tmp_path / "bundle", logits)
    write_disc(tmp_path / "a.png", 0, (40, 60))
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    photos = [{"id": path[0], "image": str(tmp_path / path)} for path in ("a.png", "b.jpg")]
    assert dict(uncertainties(bundle, photos, "cpu")) == {"a": pytest.approx(expected, rel=1e-5)}


def test_scores_belong_to_their_weights(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    config = {"prompt_source": None, "checkpoint": "sam_vit_b"}
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(config))
    scores = Scores(tmp_path)
    assert written_at(tmp_path) == 0
    assert scores.missing(["a", "b"]) == []  # nothing to score with
    (tmp_path / "models").mkdir()
    published, trained = (tmp_path / "models" / name for name in ("sam_vit_b_01ec64.pth", "model.pt"))
    published.write_bytes(b"published")
    assert written_at(tmp_path) == published.stat().st_mtime_ns
    trained.write_bytes(b"trained")
    assert written_at(tmp_path) == trained.stat().st_mtime_ns
    scores.add({"a": 0.25}, written_at(tmp_path))
    assert scores.missing(["a", "b"]) == ["b"]
    scores.add({"b": 0.5}, written_at(tmp_path) - 1)
    assert scores.missing(["a", "b"]) == ["b"]
    assert {name: entry["uncertainty"] for name, entry in scores.read().items()} == {"a": 0.25, "b": 0.5}

"""The flagship warns of what no dermatoscope took, on the photos that ``scripts/draw_unlike_photos.py`` draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dermaseg_monai.bundle.calibration import stored_calibration
from dermaseg_monai.inference.probabilities import PhotoProbabilities
from scripts import draw_unlike_photos


def test_the_flagship_warns_of_patterns_and_finds_clinical_photos_unlike(tmp_path: Path) -> None:
    draw_unlike_photos.main(str(tmp_path / "photos"), count=6)
    folders = [tmp_path / "photos" / kind for kind in ("clinical", "patterns")]
    assert [len(list(folder.iterdir())) for folder in folders] == [6, 6]
    photos = [path for folder in folders for path in sorted(folder.iterdir())]
    features: list[np.ndarray] = []
    predictor = PhotoProbabilities("lesion_mobilenetv2_unet", device="cpu")
    predictor.visit(
        [{"id": path.stem, "image": str(path)} for path in photos],
        lambda item: features.append(item["features"].numpy()),
        masks=False,
    )
    described = stored_calibration(predictor.ckpt_dir).features
    assert described is not None
    unlikeness = described.unlikeness(np.stack(features))
    assert (unlikeness[6:] > 1).all()
    # a photo of the training set's kind has 0.6 in the median
    assert np.median(unlikeness[:6]) > 0.8


def test_equal_seeds_draw_equal_photos() -> None:
    for draw in (draw_unlike_photos.clinical_photo, draw_unlike_photos.pattern):
        first, second, other = draw(7), draw(7), draw(8)
        assert np.array_equal(first, second)
        assert first.shape == (384, 512, 3)
        assert not np.array_equal(first, other)

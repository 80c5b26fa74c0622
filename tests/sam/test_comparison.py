"""Scores over kinds and sources of prompts, and inference by the engine."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from monai.data import Dataset
from monai.inferers import SimpleInferer
from monai.transforms import Compose
from PIL import Image

from dermaseg_monai.cli.compare_prompts import compare_prompts
from dermaseg_monai.data.photos import PhotoLoader
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.sam import (
    EmbeddingCache,
    PromptComparison,
    Promptd,
    PromptEvaluator,
    PromptSource,
    SamNetwork,
    SamPreprocessd,
    format_table,
    network,
)
from dermaseg_monai.sam.comparison import ORACLE
from dermaseg_monai.transforms import ForegroundProbabilityd, LoadPhotod, RestoreSized, SaveMaskd, Thresholdd
from dermaseg_monai.utils.errors import InputError
from tests.sam.helpers import TINY, write_discs


class BoxFiller(SamNetwork):
    """Fills the box of its prompt and, without one, a square of 8 pixels about its first point: known masks."""

    def decode_tensors(
        self,
        embeddings: torch.Tensor,
        boxes: torch.Tensor | None = None,
        points: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        masks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if boxes is None:
            assert points is not None
            boxes = torch.cat([points[:, 0] - 4, points[:, 0] + 4], dim=1)
        centres = torch.arange(64) + 0.5
        left, top, right, bottom = (side[:, None] for side in boxes.unbind(1))
        across = torch.minimum(centres - left, right - centres)
        down = torch.minimum(centres - top, bottom - centres)
        return 20 * torch.minimum(down[:, :, None], across[:, None, :])[:, None]


@pytest.fixture
def data(tmp_path: Path) -> list[dict[str, str]]:
    items = write_discs(tmp_path / "photos", 4)
    for item in items:  # rectangles, so that the right box is the whole truth
        mask = read_mask(item["label"])
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 1
        Image.fromarray(mask * np.uint8(255)).save(item["label"])
    return items


def cache_of(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(BoxFiller(TINY), SamPreprocessd(size=64), tmp_path / "cache")


def shifted(path: str) -> np.ndarray:
    """The truth moved by three pixels, as a prediction."""
    return np.roll(read_mask(path.replace(".png", "_segmentation.png")), 3, axis=1)


def test_table_scores_and_curve(tmp_path: Path, data: list[dict[str, str]]) -> None:
    person = tmp_path / "prompts.json"
    person.write_text(json.dumps({item["id"]: {"boxes": [[0, 0, 64, 48]]} for item in data}))
    comparison = PromptComparison(
        cache_of(tmp_path), data, tmp_path / "out", shifted, prompts_file=person, clicks=2
    )
    table = comparison.run()
    assert list(zip(table["kind"], table["source"], table["jitter"], strict=True)) == [
        ("box", ORACLE, 0.0),
        ("box", "predicted", 0.0),
        ("points", ORACLE, 0.0),
        ("points", "predicted", 0.0),
        ("box_and_points", ORACLE, 0.0),
        ("box_and_points", "predicted", 0.0),
        ("box", ORACLE, 0.05),
        ("box", ORACLE, 0.1),
        ("box", ORACLE, 0.2),
        ("as written", "file", 0.0),
        ("none", "predicted", 0.0),
        ("box_and_mask", "predicted", 0.0),
        ("clicks_1", ORACLE, 0.0),
        ("clicks_2", ORACLE, 0.0),
    ]
    assert (table["images"] == 4).all()
    score = table.set_index(["kind", "source", "jitter"])["dice"]
    assert score["box", ORACLE, 0.0] == 1.0
    assert score["box_and_points", ORACLE, 0.0] == 1.0
    overlaps = [
        2 * (shifted(item["image"]) & read_mask(item["label"])).sum() / (2 * read_mask(item["label"]).sum())
        for item in data
    ]
    assert score["box", "predicted", 0.0] == pytest.approx(np.mean(overlaps))
    assert score["none", "predicted", 0.0] == pytest.approx(np.mean(overlaps))
    assert score["box_and_mask", "predicted", 0.0] == pytest.approx(np.mean(overlaps))
    assert score["points", ORACLE, 0.0] < 0.6
    assert 0 < score["clicks_2", ORACLE, 0.0] < 0.6
    fall = [score["box", ORACLE, share] for share in (0.0, 0.05, 0.1, 0.2)]
    assert fall == sorted(fall, reverse=True)
    assert fall[3] < 0.95
    whole = [2 * (area := read_mask(item["label"]).mean()) / (1 + area) for item in data]
    assert score["as written", "file", 0.0] == pytest.approx(np.mean(whole))
    written = pd.read_csv(tmp_path / "out" / "prompt_scores.csv")
    assert len(written) == 56
    means = written.groupby(["kind", "source", "jitter"])["threshold_jaccard"].mean()
    expected = table.set_index(["kind", "source", "jitter"])["threshold_jaccard"]
    np.testing.assert_allclose(means[expected.index], expected, atol=1e-6)
    with Image.open(tmp_path / "out" / "box_jitter.png") as curve:
        assert min(curve.size) > 300
    shown, clicks = (tmp_path / "out" / "prompt_table.txt").read_text().split("\n\n")
    assert shown == format_table(table)
    assert clicks.splitlines()[0] == ("NoC@85 2.00 clicks of at most 2; 100.0% of the photos do not reach it")


def test_oracle_is_labelled_and_beside_the_prediction(tmp_path: Path, data: list[dict[str, str]]) -> None:
    table = PromptComparison(cache_of(tmp_path), data, tmp_path / "out", shifted, kinds=["points"]).run()
    lines = format_table(table).splitlines()
    assert "oracle (ground truth)" in lines[1]
    assert "predicted" in lines[2]
    assert [line.split()[0] for line in lines[1:3]] == ["points", "points"]


def test_unreadable_photo_costs_only_itself(tmp_path: Path, data: list[dict[str, str]]) -> None:
    Path(data[0]["image"]).write_bytes(b"damaged")
    table = PromptComparison(cache_of(tmp_path), data, tmp_path / "out", shifted, jitters=[]).run()
    assert (table["images"] == 3).all()
    with pytest.raises(InputError, match=r"none of the 1 photos could be evaluated; the first: .*disc_000"):
        PromptComparison(cache_of(tmp_path), data[:1], tmp_path / "out", shifted).run()


def test_a_full_disk_is_no_fault_of_a_photo(tmp_path: Path, data: list[dict[str, str]], monkeypatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("dermaseg_monai.utils.files.os.fsync", refuse)
    with pytest.raises(InputError, match=r"^\S+\.npy cannot be written \(No space left on device\)"):
        PromptComparison(cache_of(tmp_path), data, tmp_path / "out", shifted).run()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_refusals(tmp_path: Path) -> None:
    for arguments, message in (
        ({"kinds": ["blob"]}, "'blob'"),
        ({"jitters": [0.9]}, "between 0 and"),
        ({"threshold": 1.0}, "threshold is 1.0"),
    ):
        with pytest.raises(InputError, match=message):
            PromptComparison(cache_of(tmp_path), [], tmp_path, shifted, **arguments)


@pytest.mark.parametrize("name", ["oracle", "predicted"])
def test_engine_hands_each_photo_its_prompt(tmp_path: Path, data: list[dict[str, str]], name: str) -> None:
    load = Compose(
        [LoadPhotod("image"), Promptd(PromptSource(name, predictor=shifted)), SamPreprocessd(size=64)]
    )
    finish = Compose(
        [
            ForegroundProbabilityd("pred"),
            RestoreSized("pred"),
            Thresholdd("pred"),
            SaveMaskd("pred", tmp_path / "masks"),
        ]
    )
    evaluator = PromptEvaluator(
        device=torch.device("cpu"),
        val_data_loader=PhotoLoader(Dataset(data, load), batch_size=3, workers=1),
        network=BoxFiller(TINY),
        inferer=SimpleInferer(),
        postprocessing=finish,
    )
    evaluator.run()
    for item in data:
        mask = read_mask(tmp_path / "masks" / f"{item['id']}_segmentation.png")
        truth = read_mask(item["label"]) if name == "oracle" else shifted(item["image"])
        np.testing.assert_array_equal(mask, truth)


def test_a_command_scores_the_photos_it_is_asked_for(
    tmp_path: Path, data: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = {"training": data[:1], "validation": data[1:]}
    (tmp_path / "datalist.json").write_text(json.dumps(prepared))
    torch.save(SamNetwork(TINY).state_dict(), tmp_path / "weights.pth")
    monkeypatch.setattr(network, "SamNetwork", lambda *_: BoxFiller(TINY))
    shared = {"dataset_dir": str(tmp_path), "weights": str(tmp_path / "weights.pth"), "section": "validation"}
    for item in data:
        (tmp_path / f"{item['id']}_segmentation.png").write_bytes(Path(item["label"]).read_bytes())
    compare_prompts(**shared, output=str(tmp_path / "out"), predicted_by=str(tmp_path), count=2)
    assert pd.read_csv(tmp_path / "out" / "prompt_scores.csv")["id"].nunique() == 2

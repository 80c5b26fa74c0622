"""Scores of saved masks, against the challenge's own scorer and against what was planted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from isic_challenge_scoring import SegmentationScore
from PIL import Image
from scipy import ndimage

from dermaseg_monai.cli.commands import Commands
from dermaseg_monai.data import load_datalist
from dermaseg_monai.datasets import ATTRIBUTES, prepare
from dermaseg_monai.datasets.phantoms import write_phantoms
from dermaseg_monai.evaluation.masks import evaluate_masks
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.metrics import BOUNDARY_METRICS, METRICS
from dermaseg_monai.transforms import write_mask
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import read_table
from tests.disc_dataset import write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "discs")


def write_masks(dataset: Path, folder: Path, growth: int = 1, section: str = "test") -> Path:
    """Masks that are larger than the true ones by some pixels, or smaller."""
    for item in load_datalist(dataset, section):
        truth = read_mask(item["label"]) > 0
        change = ndimage.binary_dilation if growth > 0 else ndimage.binary_erosion
        mask = change(truth, iterations=abs(growth)) if growth else truth
        write_mask(mask, folder / f"{item['id']}_segmentation.png")
    return folder


def test_the_challenges_own_scorer_agrees(dataset: Path, tmp_path: Path) -> None:
    masks = write_masks(dataset, tmp_path / "masks", 2)
    table = evaluate_masks(masks, tmp_path / "out", dataset)
    truth = write_masks(dataset, tmp_path / "truth", 0)
    official_names = [tmp_path / "official" / folder.name for folder in (truth, masks)]
    for folder, renamed in zip((truth, masks), official_names, strict=True):
        renamed.mkdir(parents=True)
        for number, path in enumerate(sorted(folder.iterdir())):
            shutil.copy(path, renamed / f"ISIC_{number:07d}_segmentation.png")
    official = SegmentationScore.from_dir(*official_names).macro_average
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    for name in METRICS:
        assert summary["metrics"][name]["mean"] == pytest.approx(official[name], abs=1e-6), name
    assert summary["metrics"]["hd95"]["mean"] == pytest.approx(2, abs=0.3)
    assert summary["images"] == 4
    assert summary["settings"] == {
        "masks": str(masks), "section": "test", "surface_tolerance": 0.01, "pixels_per_mm": None,
    }  # fmt: skip
    written = read_table(tmp_path / "out" / "metrics.csv")
    assert written.columns.tolist() == ["id", *METRICS, *BOUNDARY_METRICS]
    pd.testing.assert_frame_equal(written, table, atol=1e-6)


def test_masks_are_found_by_the_names_of_their_photos(dataset: Path, tmp_path: Path) -> None:
    masks = write_masks(dataset, tmp_path / "masks")
    expected = evaluate_masks(masks, tmp_path / "out", dataset)
    first, second, third, _ = sorted(masks.iterdir())
    name = first.name.removesuffix("_segmentation.png")
    first.rename(masks / f"{name}.png")
    Image.open(second).save(masks / second.name.replace("_segmentation.png", "_Mask.bmp"))
    second.unlink()
    write_mask(read_mask(third) * 0, masks / third.name.replace("_segmentation", "_uncertainty"))
    (masks / "predictions.csv").write_text("id\n")
    pd.testing.assert_frame_equal(evaluate_masks(masks, tmp_path / "again", dataset), expected)


def test_missing_extra_and_other_masks(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    masks = write_masks(dataset, tmp_path / "masks")
    ids = [item["id"] for item in load_datalist(dataset, "test")]
    write_mask(np.ones((4, 4)), masks / "stranger_segmentation.png")
    evaluate_masks(masks, tmp_path / "out", dataset)
    assert f"1 mask (stranger_segmentation.png) in {masks} not scored: of no test photo" in caplog.text
    write_mask(np.ones((4, 5)), masks / f"{ids[0]}_segmentation.png")
    with pytest.raises(
        InputError,
        match=rf"has 5 x 4 pixels, but the true mask of {ids[0]} has 48 x 40; bring the mask to that size",
    ):
        evaluate_masks(masks, tmp_path / "out", dataset)
    shutil.copy(masks / f"{ids[1]}_segmentation.png", masks / f"{ids[1]}.png")
    with pytest.raises(InputError, match=f"has two masks of {ids[1]}"):
        evaluate_masks(masks, tmp_path / "out", dataset)
    for name in ids[1:]:
        (masks / f"{name}_segmentation.png").unlink()
    with pytest.raises(
        InputError, match=rf"2 of the 4 test photos lack a mask in {masks} \({ids[2]}, {ids[3]}\)"
    ):
        evaluate_masks(masks, tmp_path / "out", dataset)
    with pytest.raises(InputError, match="is no folder"):
        evaluate_masks(tmp_path / "nowhere", tmp_path / "out", dataset)


def test_attributes(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "phantoms", 8, size=64)
    prepare(tmp_path / "phantoms", tmp_path / "ready", task="attribute")
    items = load_datalist(tmp_path / "ready", "training", "attribute")
    masks = tmp_path / "masks"
    for item in items:
        for attribute, path in zip(ATTRIBUTES, item["label"], strict=True):
            grown = ndimage.binary_dilation(read_mask(path))
            write_mask(grown, masks / f"{item['id']}_attribute_{attribute}.png")
    options = {"dataset_dir": tmp_path / "ready", "section": "training", "task": "attribute"}
    table = evaluate_masks(masks, tmp_path / "out", **options)
    assert table["attribute"].tolist() == [*ATTRIBUTES] * len(items)
    assert (table["fn"] == 0).all()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    for attribute, rows in table.groupby("attribute"):
        size = rows["tp"] + rows["fp"] + rows["fn"] + rows["tn"]
        tp, errors = (rows["tp"] / size).sum(), (rows["fp"] / size).sum()
        actual = summary["attributes"][attribute]
        assert actual["images"] == (rows["tp"] > 0).sum()
        assert actual["jaccard"] == pytest.approx(tp / (tp + errors) if tp + errors else 1.0)
        assert "roc_auc" not in actual  # masks have no probabilities
    next(masks.iterdir()).unlink()
    with pytest.raises(InputError, match=f"1 of the {len(items)} training photos lack all 5 attribute masks"):
        evaluate_masks(masks, tmp_path / "out", **options)


def test_two_programs(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    close, far = (write_masks(dataset, tmp_path / name, growth) for name, growth in (("a", 1), ("b", 4)))
    Commands().evaluate(str(close), str(dataset), against=str(far), pixels_per_mm=10.0)
    folder = tmp_path / "a_scores"
    table = read_table(folder / "against.csv").set_index("metric")
    first, second = read_table(folder / "metrics.csv"), read_table(folder / "against" / "metrics.csv")
    assert "hd95_mm" in first
    for name in ("jaccard", "hd95"):
        row = table.loc[name]
        assert row["difference"] == pytest.approx((first[name] - second[name]).mean(), abs=1e-5)
        assert row["low"] <= row["difference"] <= row["high"]
        assert (row["images_better"], row["images_worse"]) == (4, 0)
        assert row["p_bootstrap_holm"] == pytest.approx(min(1, row["p_bootstrap"] * len(table)), rel=1e-4)
    assert table.loc["hd95", "difference"] < 0 < table.loc["jaccard", "difference"]
    shown = capsys.readouterr().out
    assert "95 % Hausdorff distance in pixels" in shown
    assert f"4 photos; the table is in {folder / 'against.csv'}" in shown
    # the same masks do not differ
    Commands().evaluate(str(close), str(dataset), against=str(close), output=str(tmp_path / "same"))
    same = read_table(tmp_path / "same" / "against.csv")
    assert (same["difference"] == 0).all()
    assert (same["p_bootstrap_holm"] == 1).all()

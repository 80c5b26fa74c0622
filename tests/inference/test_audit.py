"""Planted errors are the most suspicious masks, and what a person decides reaches the prepared folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from dermaseg_monai.cli.commands import Commands
from dermaseg_monai.datasets.decisions import read_decisions
from dermaseg_monai.inference.audit import audit, suspicion
from dermaseg_monai.utils.errors import InputError
from tests.browser import open_page
from tests.disc_dataset import write_dataset, write_discs
from tests.tiny_bundle import write_tiny_bundle


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)) > 0


def write(path: Path, mask: np.ndarray) -> None:
    Image.fromarray((255 * mask.astype(float)).round().astype(np.uint8)).save(path)


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, Path, list[str]]:
    """A prepared folder of 60 photos, predictions of varied doubt, and the ids whose masks were spoilt."""
    dataset, predictions = tmp_path / "dataset", tmp_path / "predictions"
    predictions.mkdir()
    items = write_discs(dataset, 60)
    generator = np.random.default_rng(0)
    for item in items:
        mask = read(Path(item["label"]))
        drawn = ndimage.gaussian_filter(mask.astype(float), generator.uniform(0.5, 2.5))
        write(predictions / f"{item['id']}_segmentation.png", drawn)
    masks = [read(Path(item["label"])) for item in items]
    spoilt = {
        7: ndimage.shift(masks[7].astype(np.uint8), (4, 3), order=0) > 0,
        20: ndimage.binary_dilation(masks[20], iterations=3),
        33: masks[34],
    }
    for index, mask in spoilt.items():
        write(Path(items[index]["label"]), mask)
    lists = {"training": [], "test": [], "validation": [_relative(item) for item in items]}
    (dataset / "datalist.json").write_text(json.dumps(lists))
    return dataset, predictions, [items[index]["id"] for index in spoilt]


def _relative(item: dict[str, str]) -> dict[str, str]:
    return {key: value if key == "id" else Path(value).name for key, value in item.items()}


def test_planted_errors_come_first(planted: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    dataset, predictions, spoilt = planted
    table = audit(dataset, tmp_path / "audit", masks=predictions, count=5)
    assert set(table["id"][:3]) == set(spoilt)
    assert table["rank"].tolist() == list(range(1, 61))
    page = (tmp_path / "audit" / "index.html").read_text()
    assert page.count("<article>") == 5
    for name in table["id"][:5]:
        assert (tmp_path / "audit" / "pictures" / f"{name}.jpg").is_file()
        assert f'name="{name}" value="doubt"' in page
    assert len(list((tmp_path / "audit" / "pictures").iterdir())) == 5


def test_the_gallery_saves_what_is_decided(planted: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    dataset, predictions, _ = planted
    first, second = audit(dataset, tmp_path / "audit", masks=predictions, count=3)["id"][:2]
    with open_page() as page:
        page.goto((tmp_path / "audit" / "index.html").as_uri())
        page.locator(f"input[name='{first}'][value=doubt]").check()
        page.locator(f"input[name='{second}'][value=accept]").check()
        page.reload()  # decisions are kept
        assert page.get_by_role("status").inner_text() == "2 of 3 decided"
        with page.expect_download() as download:
            page.get_by_role("button", name="Save decisions.csv").click()
        assert download.value.suggested_filename == "decisions.csv"
        saved = Path(download.value.path())
        assert saved.read_text() == f"id,decision\n{first},doubt\n{second},accept\n"
        assert read_decisions(saved).doubted == {first}


def test_suspicion() -> None:
    given = np.zeros((20, 20), dtype=bool)
    given[5:15, 5:15] = True
    sure = given.astype(np.float32)
    assert suspicion(sure, given) == pytest.approx(0)
    # a mask drawn from the probabilities is as far from them as they expect
    flat = np.full((200, 200), 0.5, dtype=np.float32)
    drawn = np.random.default_rng(0).random(flat.shape) < 0.5
    assert suspicion(flat, drawn) == pytest.approx(0.5 / 0.51, abs=0.02)
    # the same difference counts less where the network is in doubt
    shifted = np.roll(given, 2, axis=1)
    blurred = ndimage.gaussian_filter(given.astype(float), 2).astype(np.float32)
    assert suspicion(sure, shifted) > 5 * suspicion(blurred, shifted)
    assert suspicion(np.zeros((4, 4)), np.zeros((4, 4), dtype=bool)) > 0


def test_predictions_of_a_bundle_and_of_a_cross_validation(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    content = json.loads((dataset / "datalist.json").read_text())
    ids = [item["id"] for item in content["training"]]
    (dataset / "datalist.json").write_text(json.dumps({**content, "folds": [ids[:4], ids[4:]]}))
    bundle = write_tiny_bundle(tmp_path / "tiny", "lesion_unet", device="cpu")
    assert len(audit(dataset, tmp_path / "a", bundle=bundle)) == 5
    for fold in range(2):
        write_tiny_bundle(
            tmp_path / "runs" / f"fold_{fold}" / "seed0", "lesion_unet", seed=fold, device="cpu"
        )
    # a folder without test photos can be audited as well
    (dataset / "datalist.json").write_text(json.dumps({**content, "test": [], "folds": [ids[:4], ids[4:]]}))
    table = audit(dataset, tmp_path / "b", runs=tmp_path / "runs")
    others = [item["id"] for item in content["validation"]]
    assert sorted(table["id"]) == sorted(ids + others)
    # each training photo's score is that of the fold that left it out, each other photo's that of a fold in its turn
    second = tmp_path / "runs" / "fold_1" / "seed0"
    alone = pd.concat(
        audit(dataset, tmp_path / section, bundle=second, section=section)
        for section in ("training", "validation")
    )
    both = table.merge(alone, on="id", suffixes=("", "_alone"))
    same = np.isclose(both["suspicion"], both["suspicion_alone"])
    expected = {name: name in ids[4:] + others[1::2] for name in ids + others}
    assert dict(zip(both["id"], same, strict=True)) == expected


def test_what_cannot_be_audited(planted: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    dataset, predictions, _ = planted
    with pytest.raises(InputError, match="one of --bundle, --runs and --masks"):
        audit(dataset, tmp_path / "out")
    with pytest.raises(InputError, match="holds no trained folds"):
        audit(dataset, tmp_path / "out", runs=tmp_path)
    write(predictions / "disc_3_segmentation.png", np.zeros((3, 4)))
    with pytest.raises(InputError, match=r"has 4 x 3 pixels, but the given mask has 48 x 40"):
        audit(dataset, tmp_path / "out", masks=predictions)
    (predictions / "disc_3_segmentation.png").unlink()
    with pytest.raises(InputError, match=r"1 of the \d+ validation photos lack a mask"):
        audit(dataset, tmp_path / "out", masks=predictions)


def test_predictions_by_other_names_and_values(planted: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    """Masks of 0 and 1, in another format and without an ending, as other programs write them."""
    dataset, predictions, _ = planted
    expected = audit(dataset, tmp_path / "expected", masks=predictions)
    others = tmp_path / "others"
    others.mkdir()
    for path in predictions.iterdir():
        Image.open(path).point(lambda level: level >= 128).save(
            others / f"{path.name.removesuffix('_segmentation.png')}.tif"
        )
    hard = audit(dataset, tmp_path / "hard", masks=others)
    assert set(hard["id"]) == set(expected["id"])
    assert hard["predicted_share"].sum() == pytest.approx(expected["predicted_share"].sum())


def test_decisions_reach_the_prepared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, audited = tmp_path / "source", tmp_path / "audit"
    audited.mkdir()
    for name in ("images", "masks"):
        (source / name).mkdir(parents=True)
    for item in write_discs(tmp_path / "discs", 6):
        shutil.copy(item["image"], source / "images")
        shutil.copy(item["label"], source / "masks" / f"{item['id']}.png")
    corrected = np.zeros((40, 48), dtype=bool)
    corrected[10:20, 10:30] = True
    write(audited / "disc_2_segmentation.png", corrected)
    decisions = audited / "decisions.csv"
    decisions.write_text("id,decision\ndisc_0,accept\ndisc_1,doubt\ndisc_2,correct\n")
    options = {"source": str(source), "output": str(tmp_path / "out"), "split": "external"}
    Commands().prepare(**options)
    before = json.loads((tmp_path / "out" / "datalist.json").read_text())["test"]
    Commands().prepare(**options, audit=str(decisions))
    suspects = capsys.readouterr().out
    assert "1 image (disc_1) left out by the audit" in suspects
    assert "1 image (disc_2) with a mask corrected by the audit" in suspects
    after = json.loads((tmp_path / "out" / "datalist.json").read_text())["test"]
    assert [item["id"] for item in after] == [item["id"] for item in before if item["id"] != "disc_1"]
    masks = {item["id"]: read(tmp_path / "out" / item["label"]) for item in after}
    assert np.array_equal(masks["disc_2"], corrected)
    assert np.array_equal(masks["disc_0"], read(source / "masks" / "disc_0.png"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("disc_0,keep", "needs an id and a decision, one of accept, doubt, correct"),
        ("disc_0,correct", "wants the mask of disc_0 corrected, but there is no"),
        ("disc_0,doubt\ndisc_0,accept", "says both doubt and accept of disc_0"),
        (None, "cannot be read"),
    ],
)
def test_bad_decisions(rows: str | None, message: str, tmp_path: Path) -> None:
    if rows is not None:
        (tmp_path / "decisions.csv").write_text(f"id,decision\n{rows}\n")
    with pytest.raises(InputError, match=message):
        read_decisions(tmp_path / "decisions.csv")

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dermaseg_monai.bundle.folder import fold_bundles
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.studies.cross_validation import cross_validation
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import read_table
from tests.disc_dataset import write_dataset
from tests.studies.tiny_study import STUDY, command, finish


def test_every_training_image_is_scored_by_a_training_without_it(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "discs")
    content = json.loads((dataset / "datalist.json").read_text())
    ids = [item["id"] for item in content["training"]]
    (dataset / "datalist.json").write_text(json.dumps({**content, "folds": [ids[::2], ids[1::2]]}))
    overrides = [word for name, value in STUDY["overrides"].items() for word in (f"--{name}", value)]
    words = ["--bundle", "lesion_unet", "--folds", 2, "--epochs", 1, *overrides]
    printed = finish(command(Path("cross_validation"), dataset, tmp_path / "runs", *words))
    folder = tmp_path / "runs" / "cross_validation_lesion_unet"
    assert f"scores of every image by the training without its fold: {folder / 'out_of_fold.csv'}" in printed
    table = read_table(folder / "out_of_fold.csv")
    assert sorted(table["id"]) == sorted(ids)
    for fold, rows in table.groupby("fold"):
        assert set(rows["id"]) == set(ids[fold::2])
    summary = json.loads((folder / "out_of_fold.json").read_text())
    assert summary["images"] == len(ids)
    for name in ("dice", "accuracy", "hd95"):
        assert summary["metrics"][name]["mean"] == pytest.approx(table[name].mean(), abs=1e-6)
    assert [path.parts[-2] for path in fold_bundles(folder)] == ["fold_0", "fold_1"]
    # the folds as an ensemble, by one option
    photo = dataset / content["test"][0]["image"]
    together, first, second = (
        predict(photo, tmp_path / str(index), bundle=str(path), device="cpu", threshold=0.0)["confidence"][0]
        for index, path in enumerate((folder, *fold_bundles(folder)))
    )
    assert first != second
    assert together == pytest.approx((first + second) / 2, abs=1e-3)


def test_wrong_numbers_of_folds(tmp_path: Path) -> None:
    dataset = str(write_dataset(tmp_path / "discs"))
    with pytest.raises(InputError, match="has 0 folds, not 5; prepare it with --folds 5"):
        cross_validation("lesion_unet", 5, dataset)
    with pytest.raises(InputError, match="has 0 folds, not at least 2; prepare it with --folds 5"):
        cross_validation("lesion_unet", None, dataset)
    with pytest.raises(InputError, match="needs at least 2 folds"):
        cross_validation("lesion_unet", None, None)
    assert len(cross_validation("attribute_unet", 3, None).variants) == 3


def test_folds_that_are_not_trained_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for fold, files in enumerate((("model.pt",), ("model.pt", "last.pt"), ())):
        models = tmp_path / f"fold_{fold}" / "seed0" / "models"
        models.mkdir(parents=True)
        for name in files:
            (models / name).touch()
    assert [path.parts[-2] for path in fold_bundles(tmp_path)] == ["fold_0"]
    assert not caplog.records
    (tmp_path / "study.json").write_text(json.dumps(cross_validation("lesion_unet", 3, None).as_json()))
    fold_bundles(tmp_path)
    assert caplog.messages == [f"{tmp_path} goes without fold_1, fold_2, which are not trained yet"]

"""What is taken from a study's folder, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from dermaseg_monai.studies.lock import lock_of, locked
from dermaseg_monai.studies.results import collect
from dermaseg_monai.utils.errors import InputError
from tests.studies.finished_runs import write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path, images=6, seeds=(0, 1))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_whole_study(study) -> None:
    actual = collect("loss", study.parent)
    assert [(run.variant, run.seed) for run in actual.runs] == [
        (variant, seed) for variant in ("dice", "tversky", "focal_tversky", "jaccard") for seed in (0, 1)
    ]
    assert actual.missing == ()
    assert actual.images == [f"ISIC_900000{n}" for n in range(6)]
    assert actual.of("dice")[1].folder == study / "dice" / "seed1"
    assert len(actual.runs[0].history) == 20
    assert actual.variants[1].title == "Cross-entropy + Tversky"


def test_what_is_missing_is_named_with_its_reason(study) -> None:
    edit(study / "dice" / "seed1" / "run.json", status="failed", error="Traceback:\n  x\nCUDA out of memory")
    edit(study / "tversky" / "seed0" / "run.json", status="running")
    (study / "tversky" / "seed1" / "run.json").unlink()
    (study / "focal_tversky" / "seed0" / "evaluation" / "metrics.csv").unlink()
    scores = study / "focal_tversky" / "seed1" / "evaluation" / "metrics.csv"
    pd.read_csv(scores).iloc[:4].to_csv(scores, index=False)
    scores = study / "jaccard" / "seed0" / "evaluation" / "metrics.csv"
    pd.read_csv(scores).drop(columns="dice").to_csv(scores, index=False)
    (study / "jaccard" / "seed1" / "evaluation" / "metrics.csv").write_text("id,dice,jaccard\nx,0.5,\n")
    actual = collect("loss", study.parent)
    assert [(run.variant, run.seed) for run in actual.runs] == [("dice", 0)]
    assert [(entry.variant, entry.seed, entry.why) for entry in actual.missing] == [
        ("dice", 1, "failed: CUDA out of memory"),
        ("tversky", 0, "interrupted"),
        ("tversky", 1, "not started"),
        ("focal_tversky", 0, "metrics.csv is missing"),
        ("focal_tversky", 1, "scored on other images than most runs (4 rows, not 6)"),
        ("jaccard", 0, "metrics.csv has no column dice"),
        ("jaccard", 1, "metrics.csv is damaged"),
    ]
    assert [variant.name for variant in actual.scored()] == ["dice"]


def test_a_run_that_somebody_is_at_is_running(study) -> None:
    run = study / "tversky" / "seed0"
    edit(run / "run.json", status="running")
    with locked(lock_of(run)):
        assert [entry.why for entry in collect("loss", study.parent).missing] == ["running"]


def test_numeric_ids_stay_text_and_rows_are_put_in_order(study) -> None:
    for scores in study.glob("*/seed*/evaluation/metrics.csv"):
        table = pd.read_csv(scores)
        table.assign(id=["003", "001", "002", "010", "009", "004"]).to_csv(scores, index=False)
    actual = collect("loss", study.parent)
    assert actual.images == ["001", "002", "003", "004", "009", "010"]
    assert list(actual.runs[0].scores["id"]) == actual.images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "dyce"}, "did you mean 'dice'"),
        ({"task": "other"}, "must be lesion or attribute"),
        ({"variants": [{"title": "x"}]}, "needs a name and a bundle"),
    ],
)
def test_damaged_plans(study, changes, message) -> None:
    edit(study / "study.json", **changes)
    with pytest.raises(InputError, match=message):
        collect("loss", study.parent)


def test_a_misspelt_study_names_the_nearest(study) -> None:
    with pytest.raises(InputError, match="did you mean 'loss'"):
        collect("los", study.parent)
    (study / "study.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        collect("loss", study.parent)
    (study / "study.json").write_text("[]")
    with pytest.raises(InputError, match="lacks title, baseline"):
        collect("loss", study.parent)


def test_a_study_without_a_finished_run_says_why(study) -> None:
    for record in study.glob("*/seed*/run.json"):
        edit(record, status="interrupted")
    with pytest.raises(InputError, match=r"interrupted \(8 runs\); run `dermaseg study run loss`"):
        collect("loss", study.parent)

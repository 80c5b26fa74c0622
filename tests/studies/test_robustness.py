"""The study of robustness: one network, spoilt photos, the usual tables and page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dermaseg_monai.studies.plan import plan_runs
from dermaseg_monai.studies.report.report import report_study
from dermaseg_monai.studies.robustness import STEPS, robustness
from dermaseg_monai.transforms.corruptions import CORRUPTIONS
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.files import read_table
from tests.disc_dataset import write_dataset
from tests.studies.tiny_study import command, finish

BUNDLE = "lesion_mobilenetv2_unet"


def test_a_variant_for_every_step() -> None:
    study = robustness(BUNDLE)
    assert set(STEPS) == set(CORRUPTIONS)
    assert len({variant.name for variant in study.variants}) == 1 + sum(map(len, STEPS.values()))
    assert study.baseline == study.variants[0].name == "clean"


@pytest.mark.parametrize("bundle", [BUNDLE, "attribute_mobilenetv2_unet"])
def test_photos_are_spoilt_after_loading_and_masks_alike(bundle: str, tmp_path: Path) -> None:
    (run,) = plan_runs(robustness(bundle), tmp_path, variants=["colour_minus_30"])
    assert run.planned_epochs == 0
    config = json.loads(run.files()["configs/evaluate.json"])
    for key, loader, item in (
        ("preprocessing", "LoadPhotod", "image"),
        ("postprocessing", "LoadMaskd", "label"),
    ):
        transforms = config[f"validate#{key}"]["transforms"]
        places = [transform["_target_"].rpartition(".")[2] for transform in transforms]
        assert places.index("CorruptPhotod") == places.index(loader) + 1
        spoil = transforms[places.index("CorruptPhotod")]
        assert (spoil["keys"], spoil["corruption"], spoil["strength"]) == (item, "colour", -30)


def test_bundles_that_cannot_be_spoilt() -> None:
    with pytest.raises(InputError, match="lesion_segnet has no weights; train it first"):
        robustness("lesion_segnet")


def test_a_trained_bundle_from_the_command_to_the_page(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    options = ["--bundle", BUNDLE, "--variants", "clean,rotation_90"]
    words = command(Path("robustness"), write_dataset(tmp_path / "discs"), runs, *options)
    name = f"robustness_{BUNDLE}"
    assert f"{name}: 2 of 2 runs are finished" in finish(words)
    assert not (runs / name / "clean" / "seed0" / "models").exists()
    clean, turned = (
        read_table(runs / name / variant / "seed0" / "evaluation" / "metrics.csv")
        for variant in ("clean", "rotation_90")
    )
    assert list(clean["id"]) == list(turned["id"])
    assert len(clean) == 5  # of validation
    # discs stay discs, but for what leaves the frame: masks that had not turned would have nothing in common with them
    assert clean["dice"].mean() > 0.8
    assert turned["dice"].mean() > 0.6
    page = report_study(name, runs, tmp_path / "report")
    assert (page.parent / "plots" / "corruptions.png").is_file()
    assert "luck of one training" not in page.read_text()
    assert set(read_table(page.parent / "paired.csv")["variant"]) == {"rotation_90"}

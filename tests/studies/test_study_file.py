"""A study of the user's own, and what is said of mistakes in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.studies.batch import Batch, run_batch
from dermaseg_monai.studies.pace import work
from dermaseg_monai.studies.plan import is_trained, plan_runs, write_study
from dermaseg_monai.studies.study_file import find_study, load_study
from dermaseg_monai.utils.errors import InputError
from tests.disc_dataset import write_dataset
from tests.studies.tiny_study import STUDY, write_file


def test_it_is_read_with_its_defaults(tmp_path: Path) -> None:
    study = load_study(write_file(tmp_path))
    assert (study.name, study.baseline, study.task, study.seeds) == ("small", "plain", "lesion", (0,))
    assert study.as_json()["metric"] == "threshold_jaccard"
    assert study.variants[1].overrides["learning_rate"] == 0.02
    assert study.variants[1].overrides["loss"]["_target_"].endswith("TverskyLoss")


def test_study_json_is_such_a_file(tmp_path: Path) -> None:
    study = find_study("data_fraction")
    write_study(study, plan_runs(study, tmp_path))
    assert load_study(tmp_path / "data_fraction" / "study.json") == study.__class__(
        **{**vars(study), "metric": "threshold_jaccard"}
    )


def test_a_variant_that_is_trained_already(tmp_path: Path) -> None:
    flagship = "lesion_mobilenetv2_unet"
    variants = [{"name": "shipped", "weights": flagship}, {"name": "tuned"}]
    study = load_study(write_file(tmp_path, bundle=flagship, overrides={}, variants=variants))
    shipped, tuned = plan_runs(study, tmp_path, epochs=3)
    assert (shipped.planned_epochs, tuned.planned_epochs) == (0, 3)
    assert is_trained(shipped)
    assert not is_trained(tuned)
    assert study.variants[0].weights == str(bundle_folder(flagship).absolute() / "models" / "model.pt")
    write_study(study, [shipped, tuned])
    again = load_study(tmp_path / "small" / "study.json")
    assert [variant.weights for variant in again.variants] == [study.variants[0].weights, None]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"variants": {"a": {"learning_rat": 1}}}, "no id 'learning_rat'; did you mean 'learning_rate'"),
        ({"variants": {"a": {"optimizer#wieght_decay": 1}}}, "did you mean 'weight_decay'"),
        ({"variants": {"a": {"network_def#featurs": [4]}}}, "did you mean 'features'"),
        ({"variants": {"a": {"augment#rotat": 0}}}, "did you mean 'augment#rotate'"),
        ({"variants": {"a": {"lr_scheduler": "@schedules#plato"}}}, "did you mean '@?schedules#plateau'"),
        ({"variants": {"a": {"threshhold": 0.4}}}, "did you mean 'threshold'"),
        ({"bundle": "lesion_unt"}, "did you mean 'lesion_unet'"),
        ({"varants": {}}, "no 'varants'; did you mean 'variants'"),
        ({"baseline": "plan"}, "did you mean 'plain'"),
        ({"variants": {"../a": {}}}, "is to be a folder's"),
        ({"seeds": ["one"]}, "whole numbers"),
        ({"seeds": [2**32]}, "the seed 4294967296 is too large"),
        ({"title": 5}, '"title" is 5; give a text'),
        ({"variants": {"a": {"image_size": 32}}}, "the image_size is 32; give"),
        ({"variants": {"a": {"max_epochs": "many"}}}, "max_epochs of 'a' is 'many'; give a whole number"),
        ({"variants": {"a": {"+train#handlers": 5}}}, "'\\+train#handlers' cannot be 5"),
        (
            {"variants": [{"name": "a", "weights": "lesion_segnet"}]},
            "\"weights\" is 'lesion_segnet'; give a trained",
        ),
        ({"variants": [{"name": "a", "weights": 5}]}, '"weights" is 5; give a text'),
    ],
)
def test_mistakes_name_the_nearest_right_one(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        plan_runs(load_study(write_file(tmp_path, **changes)), tmp_path)


def test_names_of_the_collection() -> None:
    with pytest.raises(InputError, match="did you mean 'components'"):
        find_study("component")
    with pytest.raises(InputError, match="cannot read the study"):
        find_study("nowhere.json")


def test_ids_reach_the_configs_that_have_them(tmp_path: Path) -> None:
    variants = {"a": {"image_size": [64, 64], "threshold": 0.4, "batch_size": 2}}
    (run,) = plan_runs(load_study(write_file(tmp_path, variants=variants)), tmp_path)
    configs = {
        name: json.loads(run.files()[f"configs/{name}.json"]) for name in ("train", "evaluate", "inference")
    }
    assert configs["train"]["image_size"] == configs["inference"]["image_size"] == [64, 64]
    assert configs["evaluate"]["threshold"] == configs["inference"]["threshold"] == 0.4
    assert "threshold" not in configs["train"]
    assert (configs["train"]["batch_size"], configs["evaluate"]["batch_size"]) == (2, 8)
    metadata = json.loads(run.files()["configs/metadata.json"])
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [64, 64]


def test_fixed_steps_keep_their_ratio(tmp_path: Path) -> None:
    study = find_study("data_fraction")
    usual = {run.variant.name: run.planned_epochs for run in plan_runs(study, tmp_path, seeds=[0])}
    assert (usual["unet_10_epochs"], usual["unet_10_steps"], usual["unetpp_50_steps"]) == (20, 210, 40)
    for fraction, name in ((0.1, "10"), (0.25, "25"), (0.5, "50")):
        steps = usual[f"unet_{name}_steps"] * (-(-1816 * fraction // 1) // 24)
        assert steps == pytest.approx(20 * (1816 // 24), rel=0.02)
    short = {run.variant.name: run.planned_epochs for run in plan_runs(study, tmp_path, [0], epochs=2)}
    assert (short["unet_10_epochs"], short["unet_10_steps"], short["unet_25_steps"]) == (2, 30, 12)


def test_earlier_variants_stay_in_study_json(tmp_path: Path) -> None:
    for names, seeds in ((["a", "b"], [0, 1]), (["b", "c"], [2])):
        study = load_study(write_file(tmp_path, variants={name: {} for name in names}))
        write_study(study, plan_runs(study, tmp_path, seeds))
    content = json.loads((tmp_path / "small" / "study.json").read_text())
    assert [variant["name"] for variant in content["variants"]] == ["b", "c", "a"]
    assert content["seeds"] == [0, 1, 2]
    assert STUDY["bundle"] == content["variants"][0]["bundle"]


def test_several_folders_are_one_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (write_dataset(tmp_path / name) for name in ("first", "second"))
    datalist = second / "datalist.json"
    datalist.write_text(datalist.read_text().replace('"id": "disc', '"id": "other'))
    given: list[str] = []

    def wait(children: Any, words: list[str], *_: Any, **__: Any) -> int:
        given.extend(words)
        return 0

    monkeypatch.setattr("dermaseg_monai.studies.execute.Children.wait", wait)
    overrides = {**STUDY["overrides"], "data_fraction": [0.5, 1.0]}
    (run, _) = plan_runs(load_study(write_file(tmp_path, overrides=overrides)), tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    run_batch([run], Batch(["first", "second"], device="cpu"))
    assert given[given.index("--dataset_dir") + 1] == str([str(first), str(second)])
    half = {"data_fraction": [0.5, 1.0], "val_interval": 1, "image_size": [2, 2]}
    assert work(half) == work({**half, "data_fraction": 0.75})


def test_a_device_that_is_none(tmp_path: Path) -> None:
    study = load_study(write_file(tmp_path))
    dataset = str(write_dataset(tmp_path / "discs"))
    with pytest.raises(InputError, match="there is no device 'gpu'"):
        run_batch(plan_runs(study, tmp_path), Batch(dataset, device="gpu"))


def test_a_device_that_this_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 2)
    for device in (None, "cpu", "cuda", "cuda:1"):
        Batch("discs", device)
    for device in ("cuda:2", "cuda:7", "mps"):
        with pytest.raises(InputError) as caught:
            Batch("discs", device)
        assert str(caught.value) == (
            f"there is no device '{device}' on this machine; give cpu or cuda:0 or cuda:1."
        )
    Batch("discs", "cuda:2", executor="ray")  # a node may have it

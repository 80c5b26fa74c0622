"""The bundles of ablations: committed as rendered, complete, each a small difference from its architecture."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from dermaseg_monai.bundle.config_ids import all_ids
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.studies.catalogue import ABLATIONS
from dermaseg_monai.studies.definition import Study, Variant
from dermaseg_monai.studies.run_bundles import ablation_files, run_files
from tests.disc_dataset import write_dataset

ROOT = Path(__file__).parents[2] / "bundles" / "ablations"
VARIANTS = [(study, variant) for study in ABLATIONS for variant in study.variants]

variants = pytest.mark.parametrize(
    ("study", "variant"), VARIANTS, ids=[f"{study.name}-{variant.name}" for study, variant in VARIANTS]
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_dataset(tmp_path_factory.mktemp("discs"))
    datalist = json.loads((folder / "datalist.json").read_text())
    for items in datalist.values():
        for item in items:
            item["attributes"] = [item["label"]] * 5
    (folder / "datalist.json").write_text(json.dumps(datalist))
    return folder


@variants
def test_committed_files_are_rendered(study: Study, variant: Variant) -> None:
    folder = ROOT / study.name / variant.name
    rendered = ablation_files(study, variant)
    listed = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) == set(rendered), "run scripts/render_bundles.py and commit"
    for path, text in rendered.items():
        assert (folder / path).read_text(encoding="utf-8") == text, f"{path}: run scripts/render_bundles.py"


def test_no_folder_without_an_entry() -> None:
    folders = {(path.parents[2].name, path.parents[1].name) for path in ROOT.glob("*/*/configs/train.json")}
    assert folders == {(study.name, variant.name) for study, variant in VARIANTS}


@variants
def test_properties_are_complete(study: Study, variant: Variant, dataset: Path, tmp_path: Path) -> None:
    folder = bundle_folder(f"ablations/{study.name}/{variant.name}")
    workflow = ConfigWorkflow(
        str(folder / "configs" / "train.json"),
        workflow_type="train",
        bundle_root=str(folder),
        dataset_dir=str(dataset),
        cache_dir=str(dataset / "cache"),
        ckpt_dir=str(tmp_path),
        output_dir=str(tmp_path),
        image_size=[64, 64],
        device="$torch.device('cpu')",
        # what is checked is the config; the real networks would take minutes
        network_def={
            "_target_": "dermaseg_monai.networks.UNet",
            "out_channels": 5 if study.task == "attribute" else 1,
            "features": [2, 2],
        },
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@variants
def test_train_and_inference_agree_and_differ_from_the_base_in_what_is_named(
    study: Study, variant: Variant
) -> None:
    files = ablation_files(study, variant)
    base = bundle_folder(variant.bundle)
    for name in ("train", "evaluate", "inference"):
        ours = json.loads(files[f"configs/{name}.json"])
        theirs = json.loads((base / "configs" / f"{name}.json").read_text())
        changed = {key for key in ours if ours[key] != theirs[key]}
        assert changed <= {identifier.split("#")[0] for identifier in variant.overrides}
        if name == "train":
            network = ours["network_def"] | {}
    network.pop("encoder_weights", None)
    assert json.loads(files["configs/inference.json"])["network_def"] == network


@variants
def test_a_run_is_the_variant_with_a_seed(study: Study, variant: Variant) -> None:
    run, committed = run_files(study, variant, 3, {}), ablation_files(study, variant)
    assert set(run) == set(committed)
    train = json.loads(run["configs/train.json"])
    assert train.pop("seed") == 3
    expected = json.loads(committed["configs/train.json"])
    assert expected.pop("seed") == 0
    assert train == expected
    assert {"seed", "max_epochs", "loss"} <= set(all_ids(json.loads(run["configs/train.json"])))

"""Recipes of the collection that their sources state: the values that a training really uses."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.definition import Bundle
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.studies.catalogue import get_study
from dermaseg_monai.studies.run_bundles import ablation_files
from dermaseg_monai.transforms import BatchAugment

ROOT = Path(__file__).parents[2]
ASPP = ("attribute_inception_aspp_unet", "attribute_resnet101_aspp_unet")
PLAIN = {"flip": False, "rotate": 0, "scale": [1.0, 1.0], "shift": 0.0}
COLOUR = ("brightness", "contrast", "saturation", "hue")


def config(bundle: str, name: str) -> dict[str, Any]:
    return json.loads((bundle_folder(bundle) / "configs" / f"{name}.json").read_text())


def variant(study: str, name: str, config: str = "train") -> dict[str, Any]:
    (match,) = (each for each in get_study(study).variants if each.name == name)
    return json.loads(ablation_files(get_study(study), match)[f"configs/{config}.json"])


def loss_of(train: dict[str, Any]) -> torch.nn.Module:
    """The loss as the config builds it, with weights of 1 and 3 for absent and present pixels."""
    weights = [[1.0, 3.0]] * 5
    content = {"mode": train["mode"], "losses": train["losses"], "class_weights": weights}
    parser = ConfigParser({"imports": train["imports"], **content, "loss": train["loss"]})
    return parser.get_parsed_content("loss")


@pytest.mark.parametrize("name", ASPP)
def test_unets_with_aspp_train_with_weighted_cross_entropy_alone(name: str) -> None:
    train = config(name, "train")
    logits, labels = torch.zeros(1, 5, 2, 2), torch.zeros(1, 5, 2, 2)
    labels[:, :, 0, 0] = 1
    # a quarter of the pixels weighs 3, the rest 1, each with a cross-entropy of log 2
    assert float(loss_of(train)(logits, labels)) == pytest.approx(0.693147 * 1.5, abs=1e-5)
    assert train["class_weights_by"] == "presence"
    augment = train["augment"]
    assert {name: augment[name] for name in PLAIN} == {**PLAIN, "flip": True}
    assert augment["crop_size"] == [128, 128]
    assert all(augment[name] > 0 for name in COLOUR)
    assert train["rare_below"] == 0
    assert train["average"] is None
    assert config(name, "evaluate")["opening"] == config(name, "inference")["opening"] == 0.003
    assert train["crop_lens"] is config(name, "inference")["crop_lens"] is True


@pytest.mark.parametrize("network", ["inception", "resnet101"])
def test_what_they_did_before_is_a_variant(network: str) -> None:
    train = variant("attribute_recipe", f"{network}_project")
    assert train["loss"] == "@losses#weighted_bce_jaccard"
    assert train["rare_below"] == 0.3
    assert train["average"]["decay"] == 0.998
    assert train["augment"]["rotate"] == 180
    assert train["augment"]["crop_size"] == [128, 128]
    for name in ("evaluate", "inference"):
        assert variant("attribute_recipe", f"{network}_project", name)["opening"] == 0
    source = variant("attribute_recipe", f"{network}_source")
    assert source["loss"] == config(f"attribute_{network}_aspp_unet", "train")["loss"]


def test_the_compact_unet_sees_its_images_as_they_are() -> None:
    augment = config("lesion_unet_compact", "train")["augment"]
    photo = torch.randint(0, 256, (4, 3, 16, 24), dtype=torch.uint8)
    label = torch.randint(0, 2, (4, 1, 16, 24), dtype=torch.uint8)
    batch = BatchAugment(**augment)({"image": photo, "label": label})
    torch.testing.assert_close(batch["image"], photo.float(), atol=0.01, rtol=0)
    assert torch.equal(batch["label"], label)


def test_the_augmented_compact_unet_is_a_variant() -> None:
    assert variant("regularisation", "augmented")["augment"] == config("lesion_unet", "train")["augment"]
    assert variant("regularisation", "as_is") == config("lesion_unet_compact", "train")


def test_one_protocol_for_every_lesion_architecture() -> None:
    study = get_study("architecture_64")
    lesions = {bundle.name for bundle in BUNDLES if bundle.family == "lesion"}
    assert {each.bundle for each in study.variants} == lesions
    baseline = variant("architecture_64", "lesion_unet")
    assert baseline["image_size"] == [64, 64]
    assert (baseline["max_epochs"], baseline["batch_size"], baseline["data_fraction"]) == (20, 40, 1.0)
    own = {"network_def", "mode", "loss", "learning_rate", "imports", "recipe", "train"}
    assert list(baseline["validate"]["key_metric"]) == ["jaccard"]
    own |= {"encoder_weights", "encoder_start", "encoder_rate", "optimizer"}
    for each in study.variants:
        train, evaluate = (variant("architecture_64", each.name, name) for name in ("train", "evaluate"))
        differing = {key for key in train.keys() | baseline.keys() if train.get(key) != baseline.get(key)}
        assert differing <= own, each.name
        optimizer = {key: value for key, value in train["optimizer"].items() if key != "params"}
        assert optimizer == {"_target_": "torch.optim.AdamW", "lr": "@learning_rate", "weight_decay": 1e-4}
        assert train["loss"] == config(each.bundle, "train")["loss"]
        assert (evaluate["largest_component"], evaluate["fill_holes"]) == (False, False)


def test_a_set_of_its_own_colours_is_normalised_so_by_every_path() -> None:
    for name in ("train", "evaluate", "inference"):
        content = variant("normalisation", "unet_isic2018", name)
        if name != "evaluate":  # it takes both from train.json
            assert content["mean"] == [0.7088, 0.581, 0.5353]
            assert content["std"] == [0.1565, 0.1641, 0.1785]
        text = json.dumps(content)
        paths = text.count("transforms.NormalisePhotod")
        assert paths == text.count('NormalisePhotod", "keys": "image", "mean": "@mean", "std": "@std"') > 0


def test_colours_of_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image of one grey and a larger one of another: each counts the same."""
    Image.new("RGB", (4, 4), (51, 51, 51)).save(tmp_path / "dark.png")
    Image.new("RGB", (8, 8), (153, 102, 51)).save(tmp_path / "bright.png")
    items = [{"id": name, "image": f"{name}.png", "label": f"{name}.png"} for name in ("dark", "bright")]
    (tmp_path / "datalist.json").write_text(json.dumps({"training": items, "validation": [], "test": []}))
    runpy.run_path(str(ROOT / "scripts" / "channel_statistics.py"))["main"](str(tmp_path))
    assert json.loads(capsys.readouterr().out) == {"mean": [0.4, 0.3, 0.2], "std": [0.2, 0.1, 0.0]}


@pytest.mark.parametrize(
    ("study", "name", "expected"),
    [
        ("regularisation", "no_batch_norm", {"network_def": {"norm": "none", "dropout": 0.1}}),
        ("regularisation", "no_dropout", {"network_def": {"dropout": 0.0}}),
        ("regularisation", "neither", {"network_def": {"norm": "none", "dropout": 0.0}}),
        (
            "attribute_optimizer",
            "adamw",
            {"optimizer": {"_target_": "torch.optim.AdamW", "weight_decay": 0.01}},
        ),
        ("attribute_optimizer", "sgd", {"optimizer": {"_target_": "torch.optim.SGD", "momentum": 0.9}}),
        ("attribute_schedule", "one_cycle", {"lr_scheduler": "@schedules#one_cycle"}),
        ("attribute_schedule", "plateau", {"lr_scheduler": "@schedules#plateau"}),
        ("attribute_augmentation", "none", {"augment": {**PLAIN, **dict.fromkeys(COLOUR, 0.0)}}),
        ("attribute_augmentation", "colour", {"augment": {**PLAIN, "brightness": 0.2, "hue": 0.02}}),
        ("attribute_augmentation", "geometry", {"augment": {"flip": True, "rotate": 180, "hue": 0.0}}),
        (
            "attribute_aspp",
            "no_aspp_focal",
            {"network_def": {"aspp": False}, "loss": "@losses#weighted_focal"},
        ),
    ],
)
def test_variants_that_sources_compared(study: str, name: str, expected: dict[str, Any]) -> None:
    train = variant(study, name)
    for key, value in expected.items():
        actual = train[key]
        assert (actual if isinstance(value, str) else {each: actual[each] for each in value}) == value


def test_focal_loss_is_weighted_as_the_cross_entropy_is() -> None:
    logits, labels = torch.zeros(1, 5, 2, 2), torch.zeros(1, 5, 2, 2)
    labels[:, :, 0, 0] = 1
    loss = loss_of(variant("attribute_aspp", "aspp_focal"))
    assert float(loss(logits, labels)) == pytest.approx(0.693147 * 1.5 / 4, abs=1e-5)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_readmes_say_what_is_the_sources_and_what_is_done(bundle: Bundle) -> None:
    readme = (bundle_folder(bundle.name) / "docs" / "README.md").read_text()
    recipe = readme.partition("## Training")[2].partition("## ")[0]
    assert ("As in its source: " in recipe) == (bundle.source_recipe is not None)
    assert "The project's own" in recipe
    train = config(bundle.name, "train")
    for words, value in ((r"(\d+) epochs", train["max_epochs"]), (r"batch (\d+)", train["batch_size"])):
        assert [int(number) for number in re.findall(words, recipe)] == [value], words
    rates = re.findall(r"(?:Adam|AdamW) at (\S+) with|one cycle up to ([^,]+)|rate of ([^, ]+)", recipe)
    assert [float("".join(groups)) for groups in rates] == [train["learning_rate"]]
    assert ("encoder from ImageNet" in recipe) == ("encoder_weights" in train)
    assert ("weights averaged" in recipe) == (train.get("average") is not None)
    assert ("no augmentation" in recipe) == (not train.get("augment", {"flip": True})["flip"])
    assert ("masks opened" in recipe) == (config(bundle.name, "inference")["opening"] > 0)

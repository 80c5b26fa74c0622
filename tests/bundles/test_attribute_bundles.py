"""Every attribute bundle, through the shared tester."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from isic_challenge_scoring import task2
from monai.bundle import ConfigWorkflow, run
from PIL import Image

from dermaseg_monai.datasets import ATTRIBUTES
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.inference.show import show
from dermaseg_monai.utils.errors import find_input_error
from tests.bundles.tester import BundleTester
from tests.tiny_bundle import write_tiny_bundle


class AttributeTester(BundleTester):
    """Checks of what differs where there are five masks for each photo."""

    kept: ClassVar[set[str]] = {"model.pt", "thresholds.json"}

    def check_evaluation(self, output: Path, prepared: Path, test: list[dict[str, Any]]) -> None:
        table = pd.read_csv(output / "metrics.csv")
        assert len(table) == 5 * len(test)
        assert table["attribute"].tolist()[:5] == list(ATTRIBUTES)
        summary = json.loads((output / "summary.json").read_text())
        assert summary["images"] == len(test)
        assert (output / "panel.png").is_file()
        for item in test:
            size = Image.open(prepared / item["image"]).size
            for name in ATTRIBUTES:
                mask = Image.open(output / "masks" / f"{item['id']}_attribute_{name}.png")
                assert mask.size == size
                assert set(np.unique(np.asarray(mask))) <= {0, 255}
        self.check_official_scores(output, prepared, test, summary)

    def check_official_scores(
        self, output: Path, prepared: Path, test: list[dict[str, Any]], summary: dict[str, Any]
    ) -> None:
        """The challenge's own code, on the saved masks, gives the same numbers."""
        truth = output / "truth"
        truth.mkdir()
        for item in test:
            for name, path in zip(ATTRIBUTES, item["attributes"], strict=True):
                (truth / f"{item['id']}_attribute_{name}.png").symlink_to(prepared / path)
        official = task2.score(truth, output / "masks")
        for metric in ("jaccard", "dice"):
            assert summary["micro"][metric] == pytest.approx(official["micro_average"][metric], abs=1e-6)
            for name in ATTRIBUTES:
                expected = official[name][metric]
                assert summary["attributes"][name][metric] == pytest.approx(expected, abs=1e-6)

    def check_inference(self, output: Path, photos: Path) -> None:
        table = pd.read_csv(output / "predictions.csv").set_index(["id", "attribute"])
        assert sorted(set(table.index.get_level_values("id"))) == ["cmyk", "grey portrait", "odd", "small"]
        assert len(table) == 4 * 5
        for path in photos.iterdir():
            if path.stem == "damaged":
                continue
            for name in ATTRIBUTES:
                mask = Image.open(output / f"{path.stem}_attribute_{name}.png")
                assert mask.size == Image.open(path).size
                share = (np.asarray(mask) > 0).mean()
                assert table.loc[(path.stem, name), "area_share"] == pytest.approx(share, abs=1e-6)
        assert pd.read_csv(output / "failures.csv")["id"].tolist() == ["damaged"]


def of_one_size(prepared: Path, copy: Path, size: tuple[int, int]) -> Path:
    """A prepared folder with all photos and masks brought to ``size`` (width, height)."""
    shutil.copytree(prepared, copy, ignore=shutil.ignore_patterns("cache"))
    for path in copy.rglob("*.*"):
        if path.suffix in (".jpg", ".png"):
            Image.open(path).resize(size, Image.Resampling.NEAREST).save(path)
    return copy


class TestUNet(AttributeTester):
    name = "attribute_unet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8, 8]}

    def test_fitted_thresholds_are_used_and_reach_what_they_promise(
        self, folder: Path, work: dict[str, Any], prepared: Path, tmp_path: Path
    ) -> None:
        dataset = of_one_size(prepared, tmp_path / "data", (80, 64))
        overrides = self.overrides(work, "thresholds") | {
            "dataset_dir": str(dataset),
            "ckpt_dir": str(tmp_path),
            "output_dir": str(tmp_path / "output"),
            "image_size": [64, 80],  # the photos' own, so that evaluation sees what validation saw
            "amp": False,
        }
        run(run_id="training", config_file=self.configs(folder, "train"), max_epochs=2, **overrides)
        fitted = json.loads((tmp_path / "thresholds.json").read_text())
        history = pd.read_csv(tmp_path / "output" / "history.csv").set_index("epoch")
        assert history["val_macro_jaccard"].idxmax() == fitted["epoch"]
        assert history["val_macro_jaccard"].max() == pytest.approx(
            fitted["jaccard_fitted"]["macro"], abs=1e-5
        )
        overrides["section"] = "validation"
        run(run_id="evaluating", config_file=self.configs(folder, "train", "evaluate"), **overrides)
        summary = json.loads((tmp_path / "output" / "summary.json").read_text())
        assert summary["settings"]["threshold"] == list(fitted["thresholds"].values())
        for name in ATTRIBUTES:
            promised = fitted["jaccard_fitted"][name]
            assert summary["attributes"][name]["jaccard"] == pytest.approx(promised, abs=1e-6)

    def test_ensemble_within_a_lesion_is_scored(
        self, folder: Path, work: dict[str, Any], prepared: Path, tmp_path: Path
    ) -> None:
        partner = write_tiny_bundle(tmp_path / "partner", "attribute_unet", seed=1, image_size=[48, 32])
        lesion = write_tiny_bundle(tmp_path / "lesion", "lesion_unet", image_size=[32, 48])
        joined = {"ensemble": [str(partner)], "lesion_bundle": str(lesion)}
        overrides = self.overrides(work, "joined")
        run(run_id="evaluating", config_file=self.configs(folder, "train", "evaluate"), **overrides, **joined)
        output = Path(overrides["output_dir"])
        self.check_evaluation(output, prepared, json.loads((prepared / "datalist.json").read_text())["test"])
        assert 0 < json.loads((output / "summary.json").read_text())["macro"]["roc_auc"] < 1

    def test_show_draws_truth_and_prediction(
        self, work: dict[str, Any], prepared: Path, tmp_path: Path
    ) -> None:
        options = {
            "ckpt_dir": work["ckpt_dir"],
            "image_size": work["image_size"],
            "device": "$torch.device('cpu')",
        }
        picture = show(self.name, 0, prepared, tmp_path / "case.png", section="test", **options, **self.tiny)
        assert Image.open(picture).size[0] > 1000

    def test_predict_draws_overlays(self, work: dict[str, Any], photos: Path, tmp_path: Path) -> None:
        options = {
            "ckpt_dir": work["ckpt_dir"],
            "image_size": work["image_size"],
            "device": "$torch.device('cpu')",
        }
        table = predict(photos / "odd.JPG", tmp_path, bundle=self.name, **options, **self.tiny)
        assert table["attribute"].tolist() == list(ATTRIBUTES)
        assert Image.open(tmp_path / "overlays" / "odd.jpg").size == Image.open(photos / "odd.JPG").size

    @pytest.mark.parametrize("loss", ["weighted_bce_jaccard", "focal_dice"])
    def test_choices_of_the_recipe(
        self, folder: Path, work: dict[str, Any], tmp_path: Path, loss: str
    ) -> None:
        overrides = self.overrides(work, "unused") | {
            "ckpt_dir": str(tmp_path / "models"),
            "output_dir": str(tmp_path / "output"),
        }
        run(
            run_id="training",
            config_file=self.configs(folder, "train"),
            max_epochs=2,
            loss=f"@losses#{loss}",
            lr_scheduler="@schedules#plateau",
            crop_lens=True,
            start_from=str(Path(work["ckpt_dir"]) / "model.pt"),
            patience=1,
            **overrides,
            **{"augment#crop_size": [32, 32], "optimizer#_target_": "torch.optim.SGD"},
        )
        history = pd.read_csv(tmp_path / "output" / "history.csv")
        assert np.isfinite(history.to_numpy()).all()
        assert {path.name for path in (tmp_path / "models").iterdir()} == self.kept
        assert (tmp_path / "output" / "class_weights.json").is_file() == loss.startswith("weighted")

    def test_dictionary_pipeline_samples_and_weighs_as_the_resident_one(
        self, folder: Path, work: dict[str, Any], tmp_path: Path
    ) -> None:
        settings: dict[str, Any] = {
            "loss": "@losses#weighted_bce_dice",
            "rare_below": 0.9,
            "max_epochs": 1,
            "augment#crop_size": [32, 32],
        }
        loaders, weights = [], []
        for names in (("train",), ("train", "dictionary_train")):
            scratch = tmp_path / names[-1]
            places = {"ckpt_dir": str(scratch), "output_dir": str(scratch)}
            own = {"num_workers": 0} if len(names) > 1 else {}
            overrides = {**self.overrides(work, "unused"), **places, **settings, **own}
            workflow = ConfigWorkflow(self.configs(folder, *names), workflow_type="train", **overrides)
            workflow.initialize()
            workflow.run()
            loaders.append(workflow.parser.get_parsed_content("train#dataloader"))
            weights.append((scratch / "class_weights.json").read_text())
            assert np.isfinite(pd.read_csv(scratch / "history.csv").to_numpy()).all()
        resident, dictionary = loaders
        assert len(set(resident.weights.tolist())) > 1
        assert dictionary.sampler.weights.tolist() == resident.weights.tolist()
        assert dictionary.sampler.num_samples == len(resident.dataset)
        assert weights[0] == weights[1]

    def test_start_that_fits_nothing(self, folder: Path, work: dict[str, Any], tmp_path: Path) -> None:
        overrides = self.overrides(work, "unused") | {"ckpt_dir": str(tmp_path)}
        with pytest.raises(RuntimeError) as raised:
            run(
                run_id="training",
                config_file=self.configs(folder, "train"),
                start_from="lesion_vnet",
                max_epochs=1,
                **overrides,
            )
        assert "'lesion_vnet' is neither" in str(find_input_error(raised.value))


class TestResidualUNet(AttributeTester):
    name = "attribute_residual_unet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8, 8]}


class TestAttentionUNet(AttributeTester):
    name = "attribute_attention_unet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8, 8]}


class TestConvNeXtUNet(AttributeTester):
    name = "attribute_convnext_unet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#decoder_channels": [8, 8, 8, 8, 4]}


class CropTester(AttributeTester):
    """Bundles whose training crops would be larger than the tester's photos."""

    def training(self, dataset: Path) -> dict[str, Any]:
        return {"augment#crop_size": [48, 48]}


class TestResNet101ASPPUNet(CropTester):
    name = "attribute_resnet101_aspp_unet"
    records: ClassVar[set[str]] = {*BundleTester.records, "class_weights.json"}
    tiny: ClassVar[dict[str, Any]] = {"network_def#decoder_channels": [8, 8, 8, 8, 4]}


class TestInceptionASPPUNet(CropTester):
    name = "attribute_inception_aspp_unet"
    records: ClassVar[set[str]] = {*BundleTester.records, "class_weights.json"}
    tiny: ClassVar[dict[str, Any]] = {"network_def#decoder_channels": [8, 8, 8, 8, 4]}

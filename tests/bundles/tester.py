"""The one tester that every bundle goes through, by MONAI's own functions.

Networks are shrunk by overrides of ``network_def``, photos to 64 pixels; all else is the committed bundle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from monai.bundle import (
    ConfigParser,
    ConfigWorkflow,
    ckpt_export,
    onnx_export,
    run,
    verify_metadata,
    verify_net_in_out,
)
from PIL import Image

from dermaseg_monai.bundle.folder import bundle_folder

SCHEMA = Path(__file__).parents[2] / "dermaseg_monai" / "bundle" / "base" / "metadata_schema.json"
SIZE = [64, 64]
FROM_NOTHING = {"encoder_weights": "$None"}
"""Override of trainings alone: there is no network in these tests, and no pretrained weights without one."""


class BundleTester:
    """Checks of one bundle.

    Attributes:
        name: of the bundle.
        tiny: overrides that make its network small.
        records: what a training leaves in its output folder.
        kept: what it leaves beside the weights.
        epochs: how many it takes.
        traced: exports follow one example, for networks that neither scripting nor torch.export takes.
    """

    name: ClassVar[str]
    tiny: ClassVar[dict[str, Any]]
    records: ClassVar[set[str]] = {"curves.png", "history.csv", "panel.png", "tensorboard"}
    kept: ClassVar[set[str]] = {"model.pt"}
    epochs: ClassVar[int] = 1
    traced: ClassVar[bool] = False

    @pytest.fixture(scope="class")
    def folder(self) -> Path:
        return bundle_folder(self.name)

    @pytest.fixture(scope="class")
    def dataset(self, prepared: Path) -> Path:
        """What it is trained and evaluated on."""
        return prepared

    def settings(self, dataset: Path) -> dict[str, Any]:
        """Overrides of every run."""
        return {"image_size": SIZE, "batch_size": 4}

    def training(self, dataset: Path) -> dict[str, Any]:
        """Overrides of the training alone."""
        return {}

    @pytest.fixture(scope="class")
    def work(
        self, folder: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[dict[str, Any]]:
        """Overrides of a short run in a folder of its own, after a training there; the folder goes with the class."""
        scratch = tmp_path_factory.mktemp(self.name)
        overrides = {
            "bundle_root": str(folder),
            "dataset_dir": str(dataset),
            "ckpt_dir": str(scratch / "models"),
            "output_dir": str(scratch / "train"),
            "device": "$torch.device('cpu')",
            **self.settings(dataset),
            **self.tiny,
        }
        run(
            run_id="training",
            config_file=str(folder / "configs" / "train.json"),
            **{**overrides, **FROM_NOTHING, "max_epochs": self.epochs, **self.training(dataset)},
        )
        yield {**overrides, "home": scratch}
        shutil.rmtree(scratch)

    def configs(self, folder: Path, *names: str) -> list[str]:
        return [str(folder / "configs" / f"{name}.json") for name in names]

    def overrides(self, work: dict[str, Any], output: str) -> dict[str, Any]:
        own = {key: value for key, value in work.items() if key != "home"}
        return {**own, "output_dir": str(work["home"] / output)}

    def test_metadata_is_valid(self, folder: Path) -> None:
        metadata = folder / "configs" / "metadata.json"
        verify_metadata(meta_file=str(metadata), filepath=str(SCHEMA))
        content = json.loads(metadata.read_text())
        assert content["version"] in content["changelog"]
        assert all(len(part) == 1 for part in content["version"].split("."))

    def test_full_network_fits_metadata(self, folder: Path) -> None:
        verify_net_in_out(
            "network_def",
            meta_file=str(folder / "configs" / "metadata.json"),
            config_file=str(folder / "configs" / "inference.json"),
            device="cpu",
        )

    def test_train_and_inference_agree(self, folder: Path) -> None:
        train, evaluate, inference = (
            json.loads((folder / "configs" / f"{name}.json").read_text())
            for name in ("train", "evaluate", "inference")
        )
        train["network_def"].pop("encoder_weights", None)
        for shared in ("network_def", "image_size", "aspect", "mean", "std", "mode"):
            assert train[shared] == inference[shared]
        assert train["crop_lens"] == inference["crop_lens"]
        loading = train["train"]["deterministic_transforms"]
        preprocessing = inference["preprocessing"]["transforms"]
        assert loading[0] == preprocessing[0]
        assert evaluate["validate#preprocessing"]["transforms"] == preprocessing
        assert [{**transform, "keys": "image"} for transform in loading[2:]] == preprocessing[1:3]
        assert train["train"]["dataloader"]["transform"] == preprocessing[3]

    @pytest.mark.parametrize(
        ("names", "kind"),
        [(("train",), "train"), (("train", "evaluate"), "train"), (("inference",), "infer")],
    )
    def test_properties_are_complete(
        self, names: tuple[str, ...], kind: str, folder: Path, work: dict[str, Any], photos: Path
    ) -> None:
        overrides = self.overrides(work, "properties")
        if names == ("train",):
            overrides |= FROM_NOTHING
        if kind == "infer":
            overrides["dataset_dir"] = str(photos)
        workflow = ConfigWorkflow(self.configs(folder, *names), workflow_type=kind, **overrides)
        workflow.initialize()
        assert workflow.check_properties() == []

    def test_training_leaves_weights_and_records(self, work: dict[str, Any]) -> None:
        assert {path.name for path in Path(work["ckpt_dir"]).iterdir()} == self.kept
        written = {path.name for path in Path(work["output_dir"]).iterdir()}
        assert written == self.records
        history = pd.read_csv(Path(work["output_dir"]) / "history.csv")
        assert history["epoch"].tolist() == list(range(1, self.epochs + 1))
        assert np.isfinite(history.to_numpy()).all()

    def test_evaluation_scores_every_image_at_its_own_size(
        self, folder: Path, work: dict[str, Any], dataset: Path
    ) -> None:
        overrides = self.overrides(work, "evaluation")
        run(run_id="evaluating", config_file=self.configs(folder, "train", "evaluate"), **overrides)
        output = Path(overrides["output_dir"])
        test = json.loads((dataset / "datalist.json").read_text())["test"]
        self.check_evaluation(output, dataset, test)

    def check_evaluation(self, output: Path, prepared: Path, test: list[dict[str, Any]]) -> None:
        table = pd.read_csv(output / "metrics.csv")
        assert table["id"].tolist() == sorted(item["id"] for item in test)
        summary = json.loads((output / "summary.json").read_text())
        assert summary["images"] == len(test)
        assert summary["metrics"]["dice"]["mean"] == pytest.approx(table["dice"].mean(), abs=1e-6)
        for item in test:
            mask = Image.open(output / "masks" / f"{item['id']}_segmentation.png")
            assert mask.size == Image.open(prepared / item["label"]).size
            assert set(np.unique(np.asarray(mask))) <= {0, 255}
        assert (output / "panel.png").is_file()

    def test_inference_takes_photos_of_any_kind(
        self, folder: Path, work: dict[str, Any], photos: Path
    ) -> None:
        overrides = {**self.overrides(work, "inference"), "dataset_dir": str(photos)}
        run(run_id="inferring", config_file=self.configs(folder, "inference"), **overrides)
        self.check_inference(Path(overrides["output_dir"]), photos)

    def check_inference(self, output: Path, photos: Path) -> None:
        table = pd.read_csv(output / "predictions.csv").set_index("id")
        assert sorted(table.index) == ["cmyk", "grey portrait", "odd", "small"]
        for path in photos.iterdir():
            if path.stem != "damaged":
                size = Image.open(path).size
                assert Image.open(output / f"{path.stem}_segmentation.png").size == size
                assert (table.loc[path.stem, "width"], table.loc[path.stem, "height"]) == size
        assert pd.read_csv(output / "failures.csv")["id"].tolist() == ["damaged"]

    @pytest.fixture(scope="class")
    def eager(self, folder: Path, work: dict[str, Any]) -> torch.nn.Module:
        parser = ConfigParser(json.loads((folder / "configs" / "inference.json").read_text()))
        parser.update(self.overrides(work, "eager"))
        network = parser.get_parsed_content("network_def").eval()
        network.load_state_dict(torch.load(Path(work["ckpt_dir"]) / "model.pt", weights_only=True))
        return network

    def exported(self, folder: Path, work: dict[str, Any], export: Any, suffix: str, **extra: Any) -> Path:
        filepath = work["home"] / f"model{suffix}"
        with pytest.MonkeyPatch.context() as patch:
            # MONAI 1.6.1 leaves the weights of an ONNX export behind in the folder of temporary files
            patch.setattr(tempfile, "tempdir", str(work["home"]))
            export(
                "network_def",
                filepath=str(filepath),
                ckpt_file=str(Path(work["ckpt_dir"]) / "model.pt"),
                meta_file=str(folder / "configs" / "metadata.json"),
                config_file=str(folder / "configs" / "inference.json"),
                **self.tiny,
                **extra,
            )
        return filepath

    def test_torchscript_equals_eager(
        self, folder: Path, work: dict[str, Any], eager: torch.nn.Module
    ) -> None:
        trace = {"use_trace": True, "input_shape": [1, 3, *SIZE]} if self.traced else {}
        script = torch.jit.load(self.exported(folder, work, ckpt_export, ".ts", **trace))
        batch = torch.randn(1 if self.traced else 2, 3, *SIZE)
        with torch.no_grad():
            torch.testing.assert_close(script(batch), eager(batch), atol=1e-4, rtol=1e-4)

    def test_onnx_equals_eager(self, folder: Path, work: dict[str, Any], eager: torch.nn.Module) -> None:
        trace = {"use_trace": True, "converter_kwargs": {"dynamo": False}} if self.traced else {}
        path = self.exported(folder, work, onnx_export, ".onnx", input_shape=[1, 3, *SIZE], **trace)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        batch = torch.randn(1, 3, *SIZE)
        (result,) = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(result, eager(batch).numpy(), atol=1e-4, rtol=1e-4)

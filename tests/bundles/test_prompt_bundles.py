"""The promptable bundles, through the shared tester: trained until their masks follow the box."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser, run, verify_net_in_out
from PIL import Image

from dermaseg_monai.bundle.catalogue import BUNDLES, get_bundle
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.bundle.published_weights import get_checkpoint
from dermaseg_monai.datasets.phantoms import write_phantoms
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.inference.predict import predict
from dermaseg_monai.sam import SamNetwork, box_of_mask
from dermaseg_monai.utils.errors import find_input_error
from tests.bundles.tester import BundleTester
from tests.sam.helpers import TINY, tiny_network, two_discs, write_discs, write_prepared_discs


class PromptTester(BundleTester):
    """Checks of what differs where a prompt says which lesion is meant."""

    tiny: ClassVar[dict[str, Any]] = {"network_def#architecture": TINY}
    records: ClassVar[set[str]] = {"history.csv", "tensorboard"}
    epochs: ClassVar[int] = 80
    traced: ClassVar[bool] = True

    @pytest.fixture(scope="class")
    def dataset(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = write_prepared_discs(tmp_path_factory.mktemp("discs"), training=24)
        torch.save(tiny_network().state_dict(), folder / "start.pth")
        return folder

    def settings(self, dataset: Path) -> dict[str, Any]:
        return {"start_from": str(dataset / "start.pth")}

    def training(self, dataset: Path) -> dict[str, Any]:
        return {
            "batch_size": 8,
            "learning_rate": 3e-3,
            "prompt_jitter": 0.05,
            "train_prompt_encoder": True,
            "validate#dataset#predictor": None,  # of two discs, no bundle knows which is meant
        }

    def test_full_network_fits_metadata(self, folder: Path) -> None:
        # of the full network's size in pixels, but not in channels: a ViT-B takes minutes
        coarse = {**TINY, "image_size": 1024, "patch_size": 64}
        verify_net_in_out(
            "network_def",
            meta_file=str(folder / "configs" / "metadata.json"),
            config_file=str(folder / "configs" / "inference.json"),
            device="cpu",
            **{"network_def#architecture": coarse},
        )

    def test_train_and_inference_agree(self, folder: Path) -> None:
        train, evaluate, inference = (
            json.loads((folder / "configs" / f"{name}.json").read_text())
            for name in ("train", "evaluate", "inference")
        )
        for shared in ("network_def", "checkpoint", "mode", "canvas", "predicted_by", "prompt_kind"):
            assert train[shared] == inference[shared]
        assert evaluate["validate#preprocessing"] == inference["preprocessing"]
        assert evaluate["prompt_source"] == inference["prompt_source"]

    def test_weights_are_those_that_are_published(self, folder: Path) -> None:
        known = get_checkpoint(str(get_bundle(self.name).checkpoint))
        files = ConfigParser.load_config_file(str(folder / "large_files.yml"))["large_files"]
        assert files == [
            {
                "path": f"models/{known.file}",
                "url": known.url,
                "hash_val": known.sha256,
                "hash_type": "sha256",
            }
        ]
        config = ConfigParser({"imports": ["$import dermaseg_monai.sam as sam"]})
        config.update(json.loads((folder / "configs" / "inference.json").read_text()))
        with torch.device("meta"):
            network = config.get_parsed_content("network_def")
            assert network.state_dict().keys() == SamNetwork(known.architecture).state_dict().keys()
            assert type(config.get_parsed_content("canvas")).name == known.preprocessing

    def test_mask_follows_the_box(self, folder: Path, work: dict[str, Any], tmp_path: Path) -> None:
        photos = write_discs(tmp_path / "photos", 4, first=200)
        masks = {photo["id"]: two_discs(200 + index)[1:] for index, photo in enumerate(photos)}
        own, wrong = [], []
        for side in (0, 1):
            written = tmp_path / f"prompts_{side}.json"
            boxes = {name: {"boxes": [box_of_mask(both[side])]} for name, both in masks.items()}
            written.write_text(json.dumps(boxes))
            overrides = {
                **self.overrides(work, f"side_{side}"),
                "dataset_dir": str(tmp_path / "photos"),
                "prompts_file": str(written),
            }
            run(run_id="inferring", config_file=self.configs(folder, "inference"), **overrides)
            for name, both in masks.items():
                mask = read_mask(Path(overrides["output_dir"]) / f"{name}_segmentation.png")
                for target, scores in ((both[side], own), (both[1 - side], wrong)):
                    scores.append(2 * (mask & target).sum() / (mask.sum() + target.sum()))
        assert np.mean(own) > 0.85
        assert max(wrong) < 0.1

    def check_evaluation(self, output: Path, prepared: Path, test: list[dict[str, Any]]) -> None:
        super().check_evaluation(output, prepared, test)
        settings = json.loads((output / "summary.json").read_text())["settings"]
        assert settings["prompts"] == "predicted by lesion_mobilenetv2_unet"
        table = pd.read_csv(output / "prompt_table.csv")
        assert (table["images"] == len(test)).all()
        for kind in ("box", "points", "box_and_points"):
            first, second = table.loc[(table["kind"] == kind) & (table["jitter"] == 0), "source"]
            assert (first, second) == ("oracle (ground truth)", "predicted")
        oracle = table[(table["kind"] == "box") & (table["source"] != "predicted")].set_index("jitter")
        assert oracle.index.tolist() == [0, 0.05, 0.1, 0.2]
        assert oracle.loc[0, "dice"] > 0.85
        assert oracle.loc[0.2, "dice"] < oracle.loc[0, "dice"]
        printed = (output / "prompt_table.txt").read_text()
        assert printed.count("oracle (ground truth)") == 6
        assert Image.open(output / "box_jitter.png").size[0] > 300

    def test_missing_and_wrong_weights_are_one_sentence(
        self, folder: Path, work: dict[str, Any], photos: Path, tmp_path: Path
    ) -> None:
        known = get_checkpoint(json.loads((folder / "configs" / "inference.json").read_text())["checkpoint"])
        overrides = {**self.overrides(work, "missing"), "dataset_dir": str(photos), "ckpt_dir": str(tmp_path)}
        for start in ("there are no weights at", "is not the published file"):
            with pytest.raises(RuntimeError) as caught:
                run(run_id="inferring", config_file=self.configs(folder, "inference"), **overrides)
            printed = str(find_input_error(caught.value))
            assert start in printed
            assert all(fact in printed for fact in (known.file, known.url, known.sha256))
            (tmp_path / known.file).write_bytes(b"half a download")

    def test_predict(self, work: dict[str, Any], photos: Path, tmp_path: Path) -> None:
        options = {"ckpt_dir": work["ckpt_dir"], "device": work["device"], **self.tiny}
        table = predict(photos / "odd.JPG", tmp_path, bundle=self.name, **options)
        assert table["id"].tolist() == ["odd"]
        assert Image.open(tmp_path / "overlays" / "odd.jpg").size == (301, 207)


class TestSam(PromptTester):
    name = "lesion_sam"


class TestMedSam(PromptTester):
    name = "lesion_medsam"


class TestMobileSam:
    """What differs from the others: its weights come with it. The configs are theirs."""

    name = "lesion_mobile_sam"

    def test_training_starts_from_its_own_weights(self) -> None:
        folder = bundle_folder(self.name)
        config = ConfigParser.load_config_file(str(folder / "configs" / "train.json"))
        parser = ConfigParser({**config, "bundle_root": str(folder), "device": "cpu"})
        shipped = torch.load(folder / "models" / "model.pt", weights_only=True)
        assert {tensor.dtype for tensor in shipped.values()} == {torch.float16, torch.int64}
        for name, tensor in parser.get_parsed_content("sam").state_dict().items():
            assert torch.equal(tensor, shipped[name].to(tensor.dtype))

    def test_predicts_on_arrival(self, tmp_path: Path) -> None:
        write_phantoms(tmp_path / "phantom", count=2, size=160)
        photo = max((tmp_path / "phantom").glob("*/*.jpg"))
        predict(photo, tmp_path / "masks", bundle=self.name, device="$torch.device('cpu')")
        name = f"{photo.stem}_segmentation.png"
        mask = read_mask(tmp_path / "masks" / name)
        truth = read_mask(next((tmp_path / "phantom").glob(f"*/{name}")))
        assert (mask & truth).sum() / (mask | truth).sum() > 0.7


def test_every_promptable_bundle_is_tested() -> None:
    tested = {tester.name for tester in PromptTester.__subclasses__()}
    assert {bundle.name for bundle in BUNDLES if bundle.family == "prompt"} == {*tested, TestMobileSam.name}

"""Where prompts come from: the oracle, another bundle, a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose
from PIL import Image

from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.sam import (
    BundlePredictor,
    Prompt,
    Promptd,
    PromptSource,
    SamPreprocessd,
    SavedMasks,
    box_of_mask,
    input_prompts,
)
from dermaseg_monai.transforms import LoadPhotod
from dermaseg_monai.utils.errors import InputError, find_input_error
from tests.sam.helpers import write_discs


@pytest.fixture
def item(tmp_path: Path) -> dict[str, str]:
    return write_discs(tmp_path, 1)[0]


def prompts_of(item: dict[str, str], source: PromptSource) -> list[Prompt]:
    load = Compose([LoadPhotod("image"), Promptd(source), SamPreprocessd(size=128)])
    return input_prompts(load(item)["image"])


def test_oracle(item: dict[str, str]) -> None:
    box = box_of_mask(read_mask(item["label"]))
    assert box is not None
    # a photo of 64 x 48 is enlarged twice
    assert prompts_of(item, PromptSource("oracle")) == [Prompt(tuple(2 * side for side in box))]
    (jittered,) = prompts_of(item, PromptSource("oracle", jitter=0.2))
    assert jittered == prompts_of(item, PromptSource("oracle", jitter=0.2))[0]
    assert jittered != prompts_of(item, PromptSource("oracle", jitter=0.2, seed=1))[0]
    unlabelled = {"id": item["id"], "image": item["image"]}
    with pytest.raises(RuntimeError) as caught:
        prompts_of(unlabelled, PromptSource("oracle"))
    assert "no ground-truth mask" in str(find_input_error(caught.value))


def test_predicted(item: dict[str, str], tmp_path: Path) -> None:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[10:20, 30:50] = 1
    asked = []

    def predictor(path: str) -> np.ndarray:
        asked.append(path)
        return mask

    source = PromptSource("predicted", predictor=predictor)
    assert prompts_of(item, source) == [Prompt((60.0, 20.0, 100.0, 40.0))]
    assert asked == [item["image"]]
    Image.fromarray(mask * np.uint8(255)).save(tmp_path / "disc_000_segmentation.png")
    assert prompts_of(item, PromptSource("predicted", predictor=SavedMasks(tmp_path))) == prompts_of(
        item, source
    )
    wrong = PromptSource("predicted", predictor=lambda _: mask[:, :-1])
    with pytest.raises(RuntimeError) as caught:
        prompts_of(item, wrong)
    assert "is 63 x 48 pixels, but the photo is 64 x 48" in str(find_input_error(caught.value))


@pytest.mark.parametrize("name", ["disc_000", "disc_000.png"])
def test_file(item: dict[str, str], tmp_path: Path, name: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({name: {"boxes": [[1, 2, 30, 40], [40, 2, 60, 40]]}}))
    source = PromptSource("file", prompts_file=path)
    assert prompts_of(item, source) == [Prompt((2.0, 4.0, 60.0, 80.0)), Prompt((80.0, 4.0, 120.0, 80.0))]
    path.write_text(json.dumps({"other": {"boxes": [[1, 2, 30, 40]]}}))
    with pytest.raises(RuntimeError) as caught:
        prompts_of(item, PromptSource("file", prompts_file=path))
    assert "no entry 'disc_000' or 'disc_000.png'" in str(find_input_error(caught.value))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "guess"}, "'guess'"),
        ({"name": "predicted"}, "need a predictor"),
        ({"name": "file"}, "need prompts_file"),
        ({"name": "oracle", "kind": "blob"}, "'blob'"),
        ({"name": "oracle", "jitter": 0.6}, "between 0 and"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PromptSource(**arguments)


def test_photo_must_know_its_path() -> None:
    with pytest.raises(InputError, match="load it with LoadPhotod"):
        Promptd(PromptSource("oracle"))({"image": torch.zeros(3, 4, 4)})


def test_bundle_predicts_what_its_own_inference_does(item: dict[str, str], tmp_path: Path) -> None:
    overrides = {"network_def#features": [4, 8, 8, 8, 8], "image_size": [32, 32], "threshold": 0.5}
    parser = ConfigParser()
    parser.read_config(str(bundle_folder("lesion_unet") / "configs" / "inference.json"))
    parser.update(overrides)
    parser.parse()
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    predict = BundlePredictor("lesion_unet", tmp_path, "cpu", overrides)
    mask = predict(item["image"])
    assert mask.shape == (48, 64)
    assert mask.dtype == np.uint8
    image = parser.get_parsed_content("preprocessing")(item)["image"].as_tensor()
    with torch.no_grad():
        probability = network(image[None]).sigmoid()
    full = torch.nn.functional.interpolate(probability, size=(48, 64), mode="bilinear", align_corners=False)
    np.testing.assert_array_equal(mask, (full[0, 0] >= 0.5).numpy())


def test_bundle_without_weights(item: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        BundlePredictor("lesion_unet", tmp_path)(item["image"])
    assert "no weights" in str(find_input_error(caught.value))
    with pytest.raises(InputError, match="'lesion_none'"):
        BundlePredictor("lesion_none")(item["image"])

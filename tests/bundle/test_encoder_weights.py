"""Pretrained encoders: the start of trainings whose sources had one, had once and asked for no oftener."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torchvision.models import get_model_weights, mobilenet_v2

from dermaseg_monai.bundle.catalogue import BUNDLES
from dermaseg_monai.bundle.folder import bundle_folder
from dermaseg_monai.bundle.weights import encoder_start
from dermaseg_monai.networks import MobileNetV2UNet
from dermaseg_monai.studies.catalogue import ABLATIONS
from dermaseg_monai.studies.run_bundles import ablation_files
from dermaseg_monai.utils.errors import InputError, find_input_error
from tests.disc_dataset import write_dataset
from tests.trainings import command, finish, history, start, train

PRETRAINED = {
    "lesion_deeplabv3",
    "lesion_ba_deeplabv3",
    "lesion_mobilenetv2_unet",
    "attribute_convnext_unet",
    "attribute_mobilenetv2_unet",
    "attribute_resnet101_aspp_unet",
    "attribute_inception_aspp_unet",
}
FLAGSHIP = "lesion_mobilenetv2_unet"
TINY: dict[str, Any] = {"image_size": [64, 64], "network_def#decoder_channels": [8, 8, 8, 8, 4]}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("discs"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of downloads, and no network."""

    def refuse(*arguments: object) -> None:
        raise OSError("no network in these tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    return cache


def test_every_source_that_had_a_start_is_followed() -> None:
    for bundle in BUNDLES:
        train, evaluate, inference = (
            json.loads((bundle_folder(bundle.name) / "configs" / f"{name}.json").read_text())
            for name in ("train", "evaluate", "inference")
        )
        expected = "IMAGENET1K_V1" if bundle.name in PRETRAINED else None
        assert train.get("encoder_weights") == expected, bundle.name
        assert train["network_def"].get("encoder_weights") == ("@encoder_start" if expected else None)
        assert ("encoder_start" in evaluate) == (expected is not None)
        assert evaluate.get("encoder_start") is None
        assert "encoder_weights" not in inference["network_def"]


def test_variants_start_as_their_bundles_do() -> None:
    pretrained = [
        variant.name
        for study in ABLATIONS
        for variant in study.variants
        if json.loads(ablation_files(study, variant)["configs/train.json"]).get("encoder_weights")
    ]
    assert len(pretrained) >= 21


def test_what_was_downloaded_is_found_by_its_file_name(hub: Path) -> None:
    source = mobilenet_v2(weights=None)
    torch.save(source.state_dict(), hub / Path(get_model_weights("mobilenet_v2").IMAGENET1K_V1.url).name)
    network = MobileNetV2UNet(encoder_weights="IMAGENET1K_V1")
    expected = source.features[1].conv[0][0].weight
    assert any(torch.equal(value, expected) for value in network.state_dict().values())


def test_what_is_not_there_costs_a_sentence(hub: Path) -> None:
    with pytest.raises(InputError, match=r"not on this machine.*no network.*--encoder_weights FILE.*None"):
        MobileNetV2UNet(encoder_weights="IMAGENET1K_V1")
    damaged = hub / Path(get_model_weights("mobilenet_v2").IMAGENET1K_V1.url).name
    damaged.write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"mobilenet_v2-\w+.pth is not a file of weights .*; delete it"):
        MobileNetV2UNet(encoder_weights="IMAGENET1K_V1")
    with pytest.raises(InputError, match=r"neither a file nor torchvision's name .* or None"):
        MobileNetV2UNet(encoder_weights="IMAGENET")


@pytest.mark.parametrize(
    ("start_from", "resume", "interrupted", "expected"),
    [
        (None, True, False, "IMAGENET1K_V1"),
        (None, True, True, None),
        (None, False, True, "IMAGENET1K_V1"),
        ("lesion_unet", True, False, None),
    ],
)
def test_they_are_asked_for_only_where_nothing_replaces_them(
    start_from: str | None, resume: bool, interrupted: bool, expected: str | None, tmp_path: Path
) -> None:
    if interrupted:
        (tmp_path / "last.pt").touch()
    assert encoder_start("IMAGENET1K_V1", start_from, tmp_path, resume) == expected


def test_evaluation_needs_none(hub: Path, dataset: Path, tmp_path: Path) -> None:
    train(FLAGSHIP, dataset, tmp_path, max_epochs=1, encoder_weights=None, **TINY)
    # as given to the training, by habit
    settings = {**TINY, "encoder_weights": "IMAGENET1K_V1"}
    train(FLAGSHIP, dataset, tmp_path, "train", "evaluate", run_id="evaluating", **settings)
    assert (tmp_path / "output" / "summary.json").is_file()
    with pytest.raises(RuntimeError) as raised:
        train(FLAGSHIP, dataset, tmp_path / "other", max_epochs=1, **TINY)
    assert "--encoder_weights FILE" in str(find_input_error(raised.value))


def test_on_the_command_line(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    options = {"max_epochs": 1, **TINY}
    process = start(command(FLAGSHIP, "training", dataset, tmp_path / "named", "train", **options))
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 1, printed
    # not always the last line: what torchvision prints of its download may come behind it
    (error,) = (line for line in printed.splitlines() if line.startswith("error: "))
    assert error.startswith("error: torchvision's IMAGENET1K_V1 weights of mobilenet_v2 are not")
    assert "Traceback" not in printed

    # None as it is typed, of whole settings and within them; without the average, the network is validated itself
    nones = {**options, "encoder_weights": None, "average": None, "augment#crop_size": None}
    printed = finish(command(FLAGSHIP, "training", dataset, tmp_path / "typed", "train", **nones))
    assert "changes nothing" not in printed
    train(FLAGSHIP, dataset, tmp_path / "given", **nones)
    pd.testing.assert_frame_equal(history(tmp_path / "typed"), history(tmp_path / "given"))
    assert os.listdir(tmp_path / "typed" / "models") == ["model.pt"]

"""Every lesion bundle, through the shared tester."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from PIL import Image

from dermaseg_monai.bundle.catalogue import BUNDLES
from tests.bundles.tester import BundleTester


class TestUNet(BundleTester):
    name = "lesion_unet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8, 8]}


class TestMobileNetV2UNet(BundleTester):
    name = "lesion_mobilenetv2_unet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#decoder_channels": [8, 8, 8, 8, 4]}


class TestCompactUNet(BundleTester):
    name = "lesion_unet_compact"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8]}


class TestAttentionUNet(BundleTester):
    name = "lesion_attention_unet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8, 8]}


class TestSegNet(BundleTester):
    name = "lesion_segnet"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8, 8, 8, 8]}


class TestDeepLabV3(BundleTester):
    name = "lesion_deeplabv3"
    tiny: ClassVar[dict[str, Any]] = {"network_def#output_stride": 16}


class TestUNetPlusPlus(BundleTester):
    name = "lesion_unetpp"
    tiny: ClassVar[dict[str, Any]] = {"network_def#features": [4, 8, 8]}


class TestBADeepLabV3(BundleTester):
    name = "lesion_ba_deeplabv3"
    tiny: ClassVar[dict[str, Any]] = {"network_def#output_stride": 16}

    def check_evaluation(self, output: Path, prepared: Path, test: list[dict[str, Any]]) -> None:
        super().check_evaluation(output, prepared, test)
        table = pd.read_csv(output / "uncertainty.csv")
        gates = table[[f"gate_{index}" for index in range(5)]].sum(axis=1)
        assert gates.tolist() == pytest.approx([1.0] * len(test), abs=1e-2)  # bfloat16
        assert "expected_calibration_error" in json.loads((output / "uncertainty.json").read_text())

    def check_inference(self, output: Path, photos: Path) -> None:
        super().check_inference(output, photos)
        heat = Image.open(output / "odd_uncertainty.png")
        assert heat.size == Image.open(photos / "odd.JPG").size
        assert heat.mode == "P"


class TestSwinUNetLite(BundleTester):
    name = "lesion_swin_unet_lite"
    tiny: ClassVar[dict[str, Any]] = {
        "network_def#width": 8,
        "network_def#heads": [1, 2, 4, 4],
        "network_def#window_size": 4,
    }


class TestSegFormerLite(BundleTester):
    name = "lesion_segformer_lite"
    tiny: ClassVar[dict[str, Any]] = {
        "network_def#widths": [8, 8, 20, 16],
        "network_def#depths": [1, 2, 1, 1],
        "network_def#heads": [1, 2, 5, 4],
        "network_def#decoder_width": 16,
    }


class TestTransUNet(BundleTester):
    name = "lesion_transunet"
    tiny: ClassVar[dict[str, Any]] = {
        "network_def#stem_width": 32,
        "network_def#stem_depths": [1, 1, 1],
        "network_def#width": 24,
        "network_def#depth": 2,
        "network_def#heads": 3,
        "network_def#feed_forward": 32,
        "network_def#decoder_channels": [16, 8, 8, 8],
        "network_def#grid_size": 4,
    }


def test_every_lesion_bundle_is_tested() -> None:
    tested = {tester.name for tester in BundleTester.__subclasses__() if hasattr(tester, "name")}
    assert {bundle.name for bundle in BUNDLES if bundle.family == "lesion"} <= tested

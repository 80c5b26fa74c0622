from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import efficientnet_b0

from dermaseg_monai.networks import MobileNetV2UNet, TimmUNet
from dermaseg_monai.utils.errors import InputError
from tests.networks.counts import decoder_parameters
from tests.networks.tester import NetworkTester

DECODER = (128, 64, 48, 32, 16)
TINY_DECODER = (8, 8, 8, 8, 4)


def parameters_above(deepest: int, skips: tuple[int, ...]) -> int:
    """Parameters of squeeze, five double convolutions and a head of one logit."""
    return deepest * 256 + 2 * 256 + decoder_parameters(skips, (256, *DECODER)) + 17


class TestConvolutionalEncoder(NetworkTester):
    network = TimmUNet
    tiny: ClassVar = {
        "encoder_name": "test_efficientnet",
        "out_channels": 2,
        "decoder_channels": TINY_DECODER,
    }
    # Liu's 4.65 million without the classifier of 1000 classes and the last convolution with its norm.
    parameters: ClassVar = [
        (
            {"encoder_name": "tf_efficientnet_lite0"},
            (4_652_008 - 1281 * 1000 - (320 * 1280 + 2 * 1280)) + parameters_above(320, (112, 40, 24, 16)),
        )
    ]


class TestTransformerEncoder(NetworkTester):
    network = TimmUNet
    tiny: ClassVar = {
        "encoder_name": "tiny_vit_5m_224",
        "out_channels": 1,
        "decoder_channels": TINY_DECODER,
    }
    # timm's 5,392,764 without the classifier of 1000 classes and the norm before it; no map at stride 2.
    parameters: ClassVar = [
        (
            {"encoder_name": "tiny_vit_5m_224"},
            (5_392_764 - 321 * 1000 - 2 * 320) + parameters_above(320, (160, 128, 64, 0)),
        )
    ]

    def build(self, seed: int = 0) -> nn.Module:
        # The convolutional stage's residual branches start at zero, and nothing behind a zero has a gradient.
        network = super().build(seed)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
                nn.init.constant_(module.weight, 0.2)
        return network

    def test_output_stride_of_sixteen(self) -> None:
        network = TimmUNet(**self.tiny, output_stride=16)
        maps = network.encoder(self.images(1))
        assert [tuple(one.shape[1:]) for one in maps] == [
            (0, 32, 32),
            (64, 16, 16),
            (128, 8, 8),
            (160, 4, 4),
            (320, 4, 4),
        ]
        assert network(self.images(2, (65, 40))).shape == (2, 1, 65, 40)


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_convnext", "vgg11_bn", "hrnet_w18_small", "twins_svt_small"]
)
def test_encoders_of_other_kinds(name: str) -> None:
    network = TimmUNet(name, out_channels=3, decoder_channels=TINY_DECODER).eval()
    with torch.no_grad():
        maps = network.encoder(torch.rand(1, 3, 64, 96))
        logits = network(torch.rand(1, 3, 50, 71))
    assert logits.shape == (1, 3, 50, 71)
    assert [one.shape[2:] for one in maps] == [(64 // stride, 96 // stride) for stride in (2, 4, 8, 16, 32)]
    assert [one.shape[1] for one in maps] == network.encoder.channels
    assert {norm.momentum for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)} == {0.1}


def test_decoder_is_that_of_the_mobilenet_unet() -> None:
    with torch.device("meta"):
        ours = TimmUNet("mobilenetv2_100").state_dict()
        theirs = MobileNetV2UNet().state_dict()
    for part in ("decoder.", "last.", "head."):
        shapes = {name: value.shape for name, value in ours.items() if name.startswith(part)}
        assert shapes == {name: value.shape for name, value in theirs.items() if name.startswith(part)}


class TestEncoderWeights:
    """Files as they come: half precision, with and without heads, with names of either layout."""

    @staticmethod
    def save(state: dict[str, Tensor], folder: Path) -> str:
        path = folder / "encoder.pth"
        torch.save(
            {name: value.half() if value.is_floating_point() else value for name, value in state.items()},
            path,
        )
        return str(path)

    @staticmethod
    def rounded(module: nn.Module) -> Any:
        """In evaluation mode, its weights rounded to half precision; set anew, so that no cache is left."""
        return module.half().float().train().eval()

    @pytest.mark.parametrize("name", ["test_efficientnet", "tiny_vit_5m_224", "test_convnext"])
    @pytest.mark.parametrize("layout", ["whole", "headless", "encoder"])
    def test_files_of_timm(self, tmp_path: Path, name: str, layout: str) -> None:
        torch.manual_seed(0)
        whole = timm.create_model(name)
        for parameter in whole.parameters():
            nn.init.normal_(parameter, std=0.1)
        state = whole.state_dict()
        if layout == "headless":
            state = {
                entry: value
                for entry, value in state.items()
                if not entry.startswith(("head.", "classifier."))
            }
        elif layout == "encoder":
            features = timm.create_model(name, features_only=True)
            names = {entry.replace(".", "_"): entry for entry in features.state_dict()}
            state = {
                names[key]: value
                for entry, value in state.items()
                if (key := entry.replace(".", "_")) in names
            }
        network = TimmUNet(name, self.save(state, tmp_path)).eval()
        images = torch.rand(1, 3, 64, 96)
        with torch.no_grad():
            maps = network.encoder(images)
            expected = self.rounded(whole).forward_intermediates(images, intermediates_only=True)
        for one, reference in zip(maps[-len(expected) :], expected, strict=True):
            torch.testing.assert_close(one, reference)
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}

    @pytest.mark.parametrize("whole", [True, False], ids=["whole model", "features alone"])
    def test_files_of_torchvision(self, tmp_path: Path, whole: bool) -> None:
        torch.manual_seed(0)
        theirs = efficientnet_b0(weights=None)
        state = {
            name: value
            for name, value in theirs.state_dict().items()
            if whole or name.startswith("features.")
        }
        network = TimmUNet("efficientnet_b0", self.save(state, tmp_path)).eval()
        hidden = images = torch.rand(1, 3, 64, 64)
        expected = []
        with torch.no_grad():
            for stage in self.rounded(theirs).features:
                hidden = stage(hidden)
                expected.append(hidden)
            maps = network.encoder(images)
        for one, stage in zip(maps, (1, 2, 3, 5, 7), strict=True):
            torch.testing.assert_close(one, expected[stage])

    def test_weights_that_are_loaded_later_count(self, tmp_path: Path) -> None:
        """TinyViT's cached attention biases are those of the weights in use."""
        torch.manual_seed(0)
        first, second = (TimmUNet("tiny_vit_5m_224", decoder_channels=TINY_DECODER).eval() for _ in range(2))
        images = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            for name, parameter in second.named_parameters():
                if name.endswith("attention_biases"):
                    nn.init.normal_(parameter, std=5)
            first(images)
            first.load_state_dict(second.state_dict())
            torch.testing.assert_close(first(images), second(images), atol=0, rtol=0)

    def test_only_heads_may_be_missing(self, tmp_path: Path) -> None:
        state = timm.create_model("test_efficientnet").state_dict()
        del state["conv_stem.weight"]
        with pytest.raises(
            InputError, match=r"missing: 1, such as 'conv_stem.weight'.*timm's test_efficientnet"
        ):
            TimmUNet("test_efficientnet", self.save(state, tmp_path))

    def test_strangers_are_refused(self, tmp_path: Path) -> None:
        state = timm.create_model("test_efficientnet").state_dict() | {"blocks.9.weight": torch.zeros(1)}
        with pytest.raises(InputError, match=r"unknown: 1, such as 'blocks.9.weight'"):
            TimmUNet("test_efficientnet", self.save(state, tmp_path))

    def test_another_models_file_of_torchvision_is_refused(self, tmp_path: Path) -> None:
        path = self.save(efficientnet_b0(weights=None).state_dict(), tmp_path)
        with pytest.raises(InputError, match=r"missing: 240.*unknown: 360"):
            TimmUNet("tf_efficientnet_lite0", path)

    def test_names_are_asked_of_timm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        create, asked = timm.create_model, []

        def create_offline(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
            if pretrained:
                asked.append(name)
                if len(asked) == 3:
                    raise OSError("no network")
            return create(name.split(".")[0], **options)

        monkeypatch.setattr(timm, "create_model", create_offline)
        for tag in ("imagenet", "r160_in1k"):
            TimmUNet("test_efficientnet", tag)
        assert asked == ["test_efficientnet", "test_efficientnet.r160_in1k"]
        with pytest.raises(
            InputError, match=r"cannot be downloaded \(OSError\); give a file of them, or None"
        ):
            TimmUNet("test_efficientnet", "imagenet")
        with pytest.raises(InputError, match=r"neither a file nor a tag .* one of imagenet, r160_in1k"):
            TimmUNet("test_efficientnet", "in22k")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"encoder_name": "hf-hub:someone/model"},
            "'hf-hub:someone/model', which is no architecture of timm",
        ),
        ({"encoder_name": "test_efficientnet.r160_in1k"}, "without a tag"),
        ({"encoder_name": "swin_tiny_patch4_window7_224"}, "does not take images of 64 x 64 pixels"),
        ({"encoder_name": "levit_128"}, "levit_128"),
        ({"encoder_name": "test_efficientnet", "output_stride": 8}, "choose 16 or 32"),
        ({"encoder_name": "pvt_v2_b0", "output_stride": 16}, "output stride 16"),
        ({"encoder_name": "test_efficientnet", "decoder_channels": (8, 8)}, "of TimmUNet needs 5 entries"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TimmUNet(**arguments)

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.resnet import Bottleneck
from torchvision.models.segmentation import deeplabv3_resnet50

from dermaseg_monai.losses import BoundaryAwareLoss, CrossEntropyLoss
from dermaseg_monai.networks import BADeepLabV3
from dermaseg_monai.networks.ba_deeplabv3 import DynamicASPP
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester


def conv(before: int, after: int, kernel: int = 3) -> int:
    """Parameters of a convolution without bias and its batch norm."""
    return before * after * kernel**2 + 2 * after


# torchvision documents 42,004,074 for its DeepLabV3 of 21 classes, which has the encoder, the pyramid, the
# 3x3 convolution and the 1x1 classifier, and an auxiliary head that this network lacks.
PLAIN = 42_004_074 - (conv(1024, 256) + 21 * 257) - (21 - 2) * 257
GATE = 2048 * 5 + 5
DETAIL = conv(256, 48, 1)
HEAD = 64 + 1


def refine(cues: int) -> int:
    """Fusion at stride 4, then the image's resolution: 32 fused channels, the cues and the image."""
    fusion = conv(48 + 256 + cues, 128) + conv(128, 32)
    return fusion + conv(32 + cues + 3, 32) + conv(32, 32) + 32 * 2


class TestBADeepLabV3(NetworkTester):
    network = BADeepLabV3
    tiny: ClassVar = {"out_channels": 2, "output_stride": 16}
    parameters: ClassVar = [
        ({}, PLAIN + GATE + DETAIL + conv(304, 64) + HEAD + conv(305, 64) + HEAD + refine(3)),
        ({"boundary_head": False}, PLAIN + GATE + DETAIL + conv(305, 64) + HEAD + refine(2)),
        ({"uncertainty_head": False}, PLAIN + GATE + DETAIL + conv(304, 64) + HEAD + refine(2)),
        ({"boundary_head": False, "uncertainty_head": False}, PLAIN + GATE + DETAIL + refine(1)),
    ]

    def build(self, seed: int = 0) -> nn.Module:
        # A random ResNet-50 magnifies rounding about sixtyfold from its first block to its last, so that no
        # two ways to compute it agree. Weaker residual branches keep the comparisons fair.
        network = super().build(seed)
        for module in network.modules():
            if isinstance(module, Bottleneck):
                nn.init.constant_(module.bn3.weight, 0.2)
        return network


def test_plain_part_counts_as_torchvisions_deeplabv3() -> None:
    with torch.device("meta"):
        plain = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=2, aux_loss=False)
    assert sum(parameter.numel() for parameter in plain.parameters()) == PLAIN


@pytest.fixture(scope="module")
def network() -> BADeepLabV3:
    torch.manual_seed(0)
    return BADeepLabV3(output_stride=16)


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("boundary", [True, False])
@pytest.mark.parametrize("uncertainty", [True, False])
def test_switched_off_heads_leave_nothing(image: Tensor, boundary: bool, uncertainty: bool) -> None:
    network = BADeepLabV3(boundary_head=boundary, uncertainty_head=uncertainty, output_stride=16)
    heads = {name for name, present in [("boundary", boundary), ("uncertainty", uncertainty)] if present}
    with torch.no_grad():
        outputs = network(image)
        maps = network.eval().predict_maps(image)
    assert set(outputs) == {"logits", "region"} | heads
    assert set(maps) == {"logits", "gate"} | heads
    parts = {name.split(".")[0] for name in network.state_dict()}
    assert parts & {"boundary", "uncertainty"} == heads
    for name, output in outputs.items():
        assert output.shape == (2, 1 if name in heads else 2, 64, 80)


def test_maps_are_probabilities_and_match_the_forward_pass(network: BADeepLabV3, image: Tensor) -> None:
    network.eval()
    with torch.no_grad():
        maps = network.predict_maps(image)
        torch.testing.assert_close(maps["logits"], network(image), atol=0, rtol=0)
    for name in ("boundary", "uncertainty"):
        assert 0 <= maps[name].min() < maps[name].max() <= 1
    assert maps["gate"].shape == (2, len(network.branch_names))


def test_gate_starts_uniform_and_weighs_each_image_alone() -> None:
    torch.manual_seed(0)
    aspp = DynamicASPP(8, 8, (1, 2, 3), dropout=0.0).eval()
    features = torch.rand(2, 8, 5, 5)
    _, weights = aspp(features)
    torch.testing.assert_close(weights, torch.full((2, 5), 0.2))
    torch.nn.init.normal_(aspp.gate.weight)
    context, weights = aspp(features)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    assert (weights[0] - weights[1]).abs().max() > 1e-3
    torch.testing.assert_close(aspp(features[:1])[0], context[:1])


def test_a_step_of_the_optimizer_moves_the_gate_little() -> None:
    torch.manual_seed(0)
    aspp = DynamicASPP(2048, 8, (1, 2, 3), dropout=0.0).eval()
    optimizer = torch.optim.Adam(aspp.gate.parameters(), lr=1e-3)
    features = torch.rand(2, 2048, 2, 2)
    _, before = aspp(features)
    before[:, 0].log().sum().neg().backward()
    optimizer.step()
    _, after = aspp(features)
    assert 1e-3 < (after - before).abs().max() < 0.02


def test_uniform_gate_equals_the_plain_pyramid() -> None:
    torch.manual_seed(0)
    aspp = DynamicASPP(8, 8, (1, 2, 3), dropout=0.0).eval()
    features = torch.rand(2, 8, 5, 5)
    pooled = aspp.pooled(features.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, 5, 5)
    plain = aspp.project(torch.cat([*(branch(features) for branch in aspp.branches), pooled], dim=1))
    torch.testing.assert_close(aspp(features)[0], plain)


def test_gate_selects_a_branch() -> None:
    torch.manual_seed(0)
    aspp = DynamicASPP(8, 8, (1, 2, 3), dropout=0.0).eval()
    features = torch.rand(1, 8, 5, 5)
    with torch.no_grad():
        aspp.gate.bias.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0, 0.0]))
        alone = [torch.zeros(1, 8, 5, 5) for _ in range(5)]
        alone[1] = 5 * aspp.branches[1](features)
        torch.testing.assert_close(aspp(features)[0], aspp.project(torch.cat(alone, dim=1)))


def test_training_starts_from_the_coarse_prediction(network: BADeepLabV3, image: Tensor) -> None:
    with torch.no_grad():
        outputs = network.train()(image)
    difference = (outputs["logits"] - outputs["region"]).abs().max()
    # a hundredth of a probability at most, where the coarse prediction is undecided
    assert 0 < difference < 0.04


@pytest.mark.parametrize(
    ("output", "reached", "untouched"),
    [
        ("uncertainty", {"uncertainty"}, {"encoder", "aspp", "context", "region", "detail", "boundary"}),
        ("boundary", {"boundary", "detail", "encoder", "aspp", "context"}, {"region", "uncertainty", "fuse"}),
        (
            "region",
            {"encoder", "aspp", "context", "region"},
            {"detail", "boundary", "uncertainty", "fuse", "refine"},
        ),
        (
            "logits",
            {"encoder", "aspp", "context", "region", "detail", "fuse", "refine"},
            {"boundary", "uncertainty"},
        ),
    ],
)
def test_each_output_trains_only_its_parts(
    network: BADeepLabV3, image: Tensor, output: str, reached: set[str], untouched: set[str]
) -> None:
    network.train().zero_grad()
    network(image)[output].square().mean().backward()
    trained = {
        name.split(".")[0]
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().max() > 0
    }
    assert reached <= trained
    assert not untouched & trained


@pytest.mark.parametrize("detached", [False, True])
def test_boundary_loss_reaches_encoder_and_pyramid_unless_detached(image: Tensor, detached: bool) -> None:
    """Of the whole loss's terms, the boundary head's cross-entropy alone."""
    torch.manual_seed(0)
    network = BADeepLabV3(output_stride=16, detach_boundary=detached)
    mask = torch.zeros(2, 1, 64, 80)
    mask[:, :, 16:48, 20:60] = 1
    outputs = network(image)
    only = {name: value if name == "boundary" else value.detach() for name, value in outputs.items()}
    loss = BoundaryAwareLoss(CrossEntropyLoss("two_class"), consistency_weight=0)
    loss(only, mask).backward()

    def gradient(name: str) -> float:
        return sum(
            parameter.grad.abs().sum().item()
            for parameter in network.get_submodule(name).parameters()
            if parameter.grad is not None
        )

    deep = ("encoder.layer2", "encoder.layer3", "encoder.layer4", "aspp.branches", "aspp.project", "context")
    for name in deep:
        assert (gradient(name) == 0) == detached, name
    for name in ("boundary", "detail", "encoder.conv1", "encoder.layer1"):
        assert gradient(name) > 0, name
    for name in ("region", "uncertainty", "fuse", "refine"):
        assert gradient(name) == 0, name


def test_refines_at_the_images_resolution(image: Tensor) -> None:
    torch.manual_seed(0)
    network = BADeepLabV3(output_stride=16).eval()
    sizes = []
    network.refine.register_forward_hook(
        lambda _, inputs, output: sizes.append((inputs[0].shape, output.shape))
    )
    with torch.no_grad():
        network(image)
    assert sizes == [((2, 32 + 3 + 3, 64, 80), (2, 2, 64, 80))]
    # a pixel of the image is a pixel of the correction
    other = image.clone()
    other[:, :, 30, 40] += 1
    correction = network.refine
    fused = torch.rand(2, 35, 64, 80)
    with torch.no_grad():
        change = correction(torch.cat([fused, other], dim=1)) - correction(torch.cat([fused, image], dim=1))
    rows, columns = change.abs().amax(dim=(0, 1)).nonzero().unbind(1)
    assert (rows.min(), rows.max()) == (28, 32)
    assert (columns.min(), columns.max()) == (38, 42)


def test_gate_can_choose_by_image() -> None:
    """Two kinds of images whose pooled features differ by little beside what they share."""
    torch.manual_seed(0)
    aspp = DynamicASPP(64, 8, (1, 2, 3), dropout=0.0)
    shared, kind = 10 * torch.rand(64, 1, 1), 0.1 * torch.randn(64, 1, 1)
    sign = torch.tensor([1.0, -1.0] * 8)
    features = shared + sign[:, None, None, None] * kind + 0.05 * torch.randn(16, 64, 3, 3)
    branch = torch.where(sign > 0, 0, 3)
    optimizer = torch.optim.Adam(aspp.gate.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        _, weights = aspp(features)
        torch.nn.functional.nll_loss(weights.log(), branch).backward()
        optimizer.step()
    for network in (aspp, aspp.eval()):
        _, weights = network(features)
        assert (weights.argmax(dim=1) == branch).all()
        assert (weights[0] - weights[1]).abs().max() > 0.5


@pytest.mark.parametrize(("stride", "dilations"), [(8, [12, 24, 36]), (16, [6, 12, 18])])
def test_output_stride(stride: int, dilations: list[int]) -> None:
    with torch.device("meta"):
        network = BADeepLabV3(output_stride=stride).eval()
        features = network.encoder(torch.empty(1, 3, 96, 128))
    assert features["low"].shape == (1, 256, 24, 32)
    assert features["high"].shape == (1, 2048, 96 // stride, 128 // stride)
    assert [branch[0].dilation[0] for branch in network.aspp.branches] == [1, *dilations]
    assert network.branch_names == ("conv1x1", *(f"dilation{rate}" for rate in dilations), "image_pooling")


def test_one_logit_variant(image: Tensor) -> None:
    network = BADeepLabV3(out_channels=1, output_stride=16).eval()
    with torch.no_grad():
        assert network(image).shape == (2, 1, 64, 80)


def test_encoder_weights_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = resnet50(weights=None).state_dict()
    torch.save(state, tmp_path / "encoder.pth")
    network = BADeepLabV3(encoder_weights=str(tmp_path / "encoder.pth"))
    for name, value in network.encoder.state_dict().items():
        torch.testing.assert_close(value, state[name], atol=0, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out_channels": 5}, "must be 1 or 2, but is 5"),
        ({"output_stride": 32}, "output_stride is 32; choose 8 or 16"),
        ({"encoder_weights": "imagenet"}, "IMAGENET1K_V2"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BADeepLabV3(**arguments)

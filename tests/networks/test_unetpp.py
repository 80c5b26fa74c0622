from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from dermaseg_monai.networks import UNetPlusPlus
from dermaseg_monai.utils.errors import InputError
from tests.networks.tester import NetworkTester

FEATURES = (32, 64, 128, 256, 512)
SMALL: dict[str, Any] = {"features": (4, 6, 8, 10), "deep_supervision": True}


def pair_parameters(inputs: int, outputs: int) -> int:
    """Two 3x3 convolutions without bias, two batch norms."""
    return 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs


NODES = [(level, column) for level in range(4) for column in range(1, 5 - level)]
ENCODER = sum(pair_parameters(i, o) for i, o in zip((3, *FEATURES), FEATURES, strict=False))
DECODER = sum(pair_parameters(j * FEATURES[i] + FEATURES[i + 1], FEATURES[i]) for i, j in NODES)


class TestUNetPlusPlus(NetworkTester):
    network = UNetPlusPlus
    tiny: ClassVar = {"out_channels": 2, "features": (4, 8, 8, 12)}
    parameters: ClassVar = [
        ({}, ENCODER + DECODER + 33),
        ({}, 9_159_681),
        ({"deep_supervision": True}, 9_159_681 + 3 * 33),
        ({"upsampling": "transpose"}, 9_045_825),
    ]


class TestSupervisedUNetPlusPlus(NetworkTester):
    network = UNetPlusPlus
    tiny: ClassVar = {**SMALL, "out_channels": 1, "prune_to": 2, "upsampling": "transpose", "dropout": 0.1}
    parameters: ClassVar = [({"deep_supervision": True, "prune_to": 1}, 9_159_681 + 3 * 33)]


def test_training_returns_every_full_size_map() -> None:
    network = UNetPlusPlus(**SMALL, prune_to=1)
    output = network(torch.randn(2, 3, 37, 45))
    assert set(output) == {"logits", "auxiliary"}
    assert len(output["auxiliary"]) == 2
    assert all(logits.shape == (2, 1, 37, 45) for logits in [output["logits"], *output["auxiliary"]])


def test_without_deep_supervision_training_returns_logits_alone() -> None:
    assert UNetPlusPlus(features=(4, 6, 8))(torch.randn(2, 3, 37, 45)).shape == (2, 1, 37, 45)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_one_checkpoint_serves_every_depth(depth: int) -> None:
    torch.manual_seed(0)
    full = UNetPlusPlus(**SMALL).eval()
    pruned = UNetPlusPlus(**SMALL, prune_to=depth).eval()
    pruned.load_state_dict(full.state_dict())
    images = torch.randn(1, 3, 32, 40)
    ran: list[str] = []
    for name, module in pruned.named_modules():
        if name.startswith(("encoder.", "heads.")) and name.count(".") == 1:
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
        if name.startswith("columns.") and name.count(".") == 3:
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.no_grad():
        logits = pruned(images)
        # In train mode all columns are returned; batch norm is kept in evaluation mode for the comparison.
        full.training = True
        output = full(images)
    torch.testing.assert_close(logits, [*output["auxiliary"], output["logits"]][depth - 1])
    expected = [f"encoder.{level}" for level in range(depth + 1)]
    expected += [f"columns.{j - 1}.nodes.{i}" for j in range(1, depth + 1) for i in range(depth + 1 - j)]
    assert sorted(ran) == sorted([*expected, f"heads.{depth - 1}"])


def test_last_column_is_the_plain_result() -> None:
    torch.manual_seed(0)
    supervised = UNetPlusPlus(**SMALL).eval()
    plain = UNetPlusPlus(features=SMALL["features"]).eval()
    state = supervised.state_dict()
    renamed = {
        name.replace("heads.2.", "heads.0."): value for name, value in state.items() if "heads.0" not in name
    }
    plain.load_state_dict({name: value for name, value in renamed.items() if "heads.1" not in name})
    images = torch.randn(1, 3, 32, 40)
    with torch.no_grad():
        torch.testing.assert_close(plain(images), supervised(images))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": (32,)}, "at least two levels"),
        ({"deep_supervision": True, "prune_to": 5}, "columns 1 to 4"),
        ({"deep_supervision": True, "prune_to": 0}, "columns 1 to 4"),
        ({"prune_to": 2}, "without deep supervision"),
        ({"upsampling": "nearest"}, '"transpose" or "bilinear"'),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UNetPlusPlus(**arguments)

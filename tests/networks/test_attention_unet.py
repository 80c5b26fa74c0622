from __future__ import annotations

from typing import ClassVar

import torch

from dermaseg_monai.networks import AttentionUNet, UNet
from dermaseg_monai.networks.attention_unet import AttentionGate
from tests.networks.counts import gate_parameters
from tests.networks.tester import NetworkTester


class TestAttentionUNet(NetworkTester):
    network = AttentionUNet
    tiny: ClassVar = {"out_channels": 2, "features": (4, 8, 12, 16)}
    parameters: ClassVar = [({}, 31_037_633 + sum(gate_parameters(f, 2 * f) for f in (64, 128, 256, 512)))]


def test_gate_is_additive_attention() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(6, 10).eval()
    skip, signal = torch.randn(2, 6, 8, 8), torch.randn(2, 10, 4, 4)
    with torch.no_grad():
        # Both convolutions written out as matrix products over 2x2 patches and over pixels.
        patches = skip.unfold(2, 2, 2).unfold(3, 2, 2)
        hidden = torch.einsum("bchwyx,kcyx->bkhw", patches, gate.skip.weight)
        hidden = hidden + torch.einsum("bchw,kc->bkhw", signal, gate.gate.weight[..., 0, 0])
        hidden = (hidden + gate.gate.bias[:, None, None]).clamp(min=0)
        logit = torch.einsum("bkhw,k->bhw", hidden, gate.attention.weight[0, :, 0, 0]) + gate.attention.bias
        coarse = 1 / (1 + (-logit).exp())
        weights = gate.weights(skip, signal)
    assert weights.shape == (2, 1, 8, 8)
    # Without aligned corners every coarse value is the mean of its 2x2 fine ones, up to its neighbours' pull.
    torch.testing.assert_close(weights[:, 0, 0, 0], coarse[:, 0, 0])
    torch.testing.assert_close(weights[:, 0, -1, -1], coarse[:, -1, -1])
    inner = 0.75 * coarse[:, 0, 0] + 0.25 * coarse[:, 0, 1]
    torch.testing.assert_close(weights[:, 0, 0, 1], inner)


def test_closed_gates_block_the_skip() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(4, 8).eval()
    with torch.no_grad():
        gate.attention.bias.fill_(-100)
        output = gate(torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4))
        expected = gate.output(torch.zeros(1, 4, 8, 8))
    torch.testing.assert_close(output, expected)


def test_the_rest_is_the_plain_unet() -> None:
    plain = UNet(features=(4, 8, 12)).state_dict()
    gated = AttentionUNet(features=(4, 8, 12)).state_dict()
    renamed = {
        name.replace(".up.", "."): value.shape for name, value in gated.items() if ".gate." not in name
    }
    assert renamed == {name: value.shape for name, value in plain.items()}

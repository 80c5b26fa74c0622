"""A captured step trains like one that is not; what cannot be captured runs as it is.

Capturing needs a GPU. Elsewhere a stand-in records the function itself: what a capture relies on (tensors that stay
where they are, gradients that belong to it, inputs copied in) is then still seen.
"""

from __future__ import annotations

import pytest
import torch

from dermaseg_monai.engines.cuda_graph import GraphedStep, Recorder, Replay


class Repeated:
    """Replays by running the function again into the first replay's tensors, as a graph does."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.parameters = parameters
        self.replays = self.warm_ups = 0

    def warm_up(self, function: Replay) -> tuple[torch.Tensor, torch.Tensor]:
        self.warm_ups += 1
        return function()

    def record(self, function: Replay) -> Replay:
        outputs = function()  # a capture computes nothing, but it does leave tensors
        gradients = [parameter.grad for parameter in self.parameters]

        def replay() -> tuple[torch.Tensor, torch.Tensor]:
            self.replays += 1
            for parameter in self.parameters:
                parameter.grad = None
            for old, new in zip(outputs, function(), strict=True):
                old.data.copy_(new)
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                gradient.copy_(parameter.grad)
                parameter.grad = gradient
            return outputs

        return replay


class Refusing(Repeated):
    def record(self, function: Replay) -> Replay:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    recorder: type | None, sizes: tuple[int, ...] = (4,) * 12
) -> tuple[torch.nn.Module, list[float], object]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3)).to(
        device()
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

    def step(image: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        prediction = network(image)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(prediction, label)
        loss.backward()
        return prediction, loss.detach()

    used, graphed = None, step
    if recorder is not None:
        used = recorder() if recorder is Recorder else recorder(list(network.parameters()))
        graphed = GraphedStep(step, network.parameters(), used)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for size in sizes:
        image = torch.randn(size, 3, 8, 8, generator=generator).to(device())
        label = (torch.rand(size, 1, 4, 4, generator=generator) < 0.5).float().to(device())
        optimizer.zero_grad(set_to_none=True)
        losses.append(graphed(image, label)[1])
        optimizer.step()
    return network, [loss.item() for loss in losses], used


def assert_equal(outcome: tuple, expected: tuple) -> None:
    assert outcome[1] == expected[1]
    for name, value in expected[0].state_dict().items():
        assert torch.equal(outcome[0].state_dict()[name], value), name


def test_a_captured_step_trains_the_same() -> None:
    outcome = train(Repeated)
    assert_equal(outcome, train(None))
    assert (outcome[2].warm_ups, outcome[2].replays) == (3, 9)


def test_a_batch_of_another_size_runs_as_it_is() -> None:
    sizes = (4, 4, 4, 4, 2, 4, 3, 4)
    outcome = train(Repeated, sizes)
    assert_equal(outcome, train(None, sizes))
    assert outcome[2].replays == 3


def test_what_cannot_be_captured_runs_as_it_is(caplog) -> None:
    assert_equal(train(Refusing), train(None))
    (record,) = caplog.records
    assert record.message == (
        "the training step cannot be captured as a CUDA graph and runs without: "
        "operation not permitted when stream is capturing"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures need a GPU")
def test_on_a_gpu() -> None:
    outcome, expected = train(Recorder), train(None)
    assert outcome[1] == pytest.approx(expected[1], abs=1e-5)

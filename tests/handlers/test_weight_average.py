"""The weight average is the textbook one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from dermaseg_monai.handlers import StepEvents, UpdateAverage, WeightAverage


def steps(network: torch.nn.Module, count: int, seed: int = 0):
    """Move every weight and statistic of a network about, as training would."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        with torch.no_grad():
            for value in (*network.parameters(), *network.buffers()):
                if value.is_floating_point():
                    value.copy_(torch.randn(value.shape, generator=generator))
                else:
                    value.add_(1)
        yield {name: value.numpy().copy() for name, value in network.state_dict().items()}


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_it_equals_a_numpy_average_with_warm_up(decay) -> None:
    model = network()
    average = WeightAverage(model, decay)
    engine = Engine(lambda engine, state: engine.fire_event(StepEvents.WEIGHTS_UPDATED))
    engine.register_events(*StepEvents)
    UpdateAverage(average).attach(engine)
    states = []

    def moving():
        for state in steps(model, 30):
            states.append(state)
            yield state

    engine.run(moving(), epoch_length=30)
    expected = {name: value.astype(np.float64) for name, value in states[0].items()}
    for number, state in enumerate(states[1:], start=1):
        keep = min(decay, (1 + number) / (10 + number))
        for name, value in state.items():
            expected[name] = keep * expected[name] + (1 - keep) * value
    averaged_state = average.module.state_dict()
    for name in averaged_state:
        if name.endswith("num_batches_tracked"):
            assert averaged_state[name] == 30
        else:
            np.testing.assert_allclose(averaged_state[name].numpy(), expected[name], atol=1e-5)


def test_the_network_itself_is_left_alone() -> None:
    model = network()
    average = WeightAverage(model)
    *_, last = steps(model, 3)
    average.averaged.update_parameters(model)
    assert all(np.array_equal(value, last[name]) for name, value in model.state_dict().items())
    assert average.module is not model


def test_it_resumes() -> None:
    whole, stopped = network(), network()
    average = WeightAverage(whole, 0.9)
    for _ in steps(whole, 12):
        average.averaged.update_parameters(whole)

    first = WeightAverage(stopped, 0.9)
    moves = steps(stopped, 12)
    for _ in range(5):
        next(moves)
        first.averaged.update_parameters(stopped)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = WeightAverage(stopped, 0.9)
    second.load_state_dict(torch.load(file, weights_only=True))
    for _ in moves:
        second.averaged.update_parameters(stopped)
    for name, value in average.module.state_dict().items():
        assert torch.equal(second.module.state_dict()[name], value), name

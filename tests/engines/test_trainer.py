"""The trainer's step is plain PyTorch; the evaluator changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Events

from dermaseg_monai.engines import Evaluator, Trainer


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 1, 1),
    )


def batches(count: int = 5) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "image": torch.randn(2, 3, 8, 8, generator=generator),
            "label": (torch.rand(2, 1, 8, 8, generator=generator) < 0.5).to(torch.uint8),
        }
        for _ in range(count)
    ]


def loss(prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(prediction, label.to(prediction.dtype))


def trained(epochs: int = 2, **settings: Any) -> tuple[torch.nn.Module, list[float]]:
    model = network()
    trainer = Trainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=batches(),
        network=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=0.01),
        loss_function=loss,
        **settings,
    )
    losses: list[float] = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item())
    )
    trainer.run()
    return model, losses


def plain_loop(clip_norm: float | None = None, amp: bool = False) -> tuple[torch.nn.Module, list[float]]:
    model, losses = network(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for _ in range(2):
        for batch in batches():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                value = loss(model(batch["image"]), batch["label"])
            value.backward()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            losses.append(value.item())
    return model, losses


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.05}, {"amp": True}])
def test_a_training_equals_a_plain_loop_bit_for_bit(settings) -> None:
    (model, losses), (expected, expected_losses) = trained(**settings), plain_loop(**settings)
    assert losses == expected_losses
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_clipping_and_autocast_make_a_difference() -> None:
    plain = trained()[1]
    assert plain != trained(clip_norm=0.05)[1]
    assert plain == trained(clip_norm=1e9)[1]
    assert plain != trained(amp=True)[1]


def test_the_loss_stays_on_the_device_and_holds_no_graph() -> None:
    model = network()
    trainer = Trainer(
        device=torch.device("cpu"), max_epochs=1, train_data_loader=batches(1), network=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1), loss_function=loss,
    )  # fmt: skip
    trainer.run()
    value = trainer.state.output["loss"]
    assert isinstance(value, torch.Tensor)
    assert not value.requires_grad


@pytest.mark.parametrize("amp", [False, True])
def test_the_evaluator_predicts_in_float32_and_leaves_the_network_alone(amp) -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []
    evaluator = Evaluator(
        device=torch.device("cpu"), val_data_loader=batches(2), network=model, amp=amp, decollate=False
    )
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(e.state.output["pred"]))
    evaluator.run(global_epoch=3)
    assert evaluator.state.epoch == 3
    assert model.training
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value)
    model.eval()
    for prediction, batch in zip(seen, batches(2), strict=True):
        assert prediction.dtype == torch.float32
        assert not prediction.requires_grad
        exact = torch.equal(prediction, model(batch["image"]))
        assert exact is not amp
        assert torch.allclose(prediction, model(batch["image"]), atol=0.05)

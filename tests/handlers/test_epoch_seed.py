"""An epoch's randomness is a function of seed and epoch."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose, RandFlip

from dermaseg_monai.handlers import EpochSeed, epoch_seed


class Loader:
    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.dataset = SimpleNamespace(transform=Compose([RandFlip(prob=0.5)]))

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def draws(loader: Loader) -> tuple:
    transform = loader.dataset.transform.transforms[0]
    return random.random(), np.random.rand(), torch.rand(1).item(), transform.R.rand()


def run(seed: int, epochs: int, start: int = 0) -> list[tuple]:
    loader = Loader()
    by_epoch: list[tuple] = []
    engine = Engine(lambda engine, batch: by_epoch.append(draws(loader)))
    EpochSeed(seed, loader).attach(engine)

    @engine.on(Events.STARTED)
    def resume(engine: Engine) -> None:
        engine.state.epoch = start

    engine.run([0], max_epochs=epochs)
    assert loader.epochs == list(range(start + 1, epochs + 1))
    return by_epoch


def test_resuming_sees_the_same() -> None:
    whole = run(seed=5, epochs=4)
    assert run(seed=5, epochs=4, start=2) == whole[2:]
    assert len({value for epoch in whole for value in epoch}) == 16
    assert not set(run(seed=6, epochs=4)) & set(whole)


def test_processes_differ(monkeypatch) -> None:
    first = run(seed=0, epochs=2)
    monkeypatch.setattr(epoch_seed, "rank", lambda: 1)
    assert not set(run(seed=0, epochs=2)) & set(first)


def test_a_samplers_epoch_is_set_and_a_plain_loader_is_enough() -> None:
    epochs: list[int] = []
    loader = SimpleNamespace(dataset=[1], sampler=SimpleNamespace(set_epoch=epochs.append))
    engine = Engine(lambda engine, batch: None)
    EpochSeed(0, loader).attach(engine)
    engine.run([0], max_epochs=2)
    assert epochs == [1, 2]

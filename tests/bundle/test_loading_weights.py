"""Files of weights that fit a network, and those that are refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from dermaseg_monai.bundle.weights import halved, load_weights
from dermaseg_monai.utils.errors import InputError


def test_they_are_loaded(tmp_path: Path) -> None:
    source, target = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    torch.save(halved(source.state_dict()), tmp_path / "model.pt")
    assert load_weights(target, tmp_path / "model.pt") is target
    assert torch.equal(target.weight, source.weight.half().float())


def test_half_precision_keeps_counters() -> None:
    stored = halved(torch.nn.BatchNorm2d(2).state_dict())
    assert stored["running_var"].dtype == torch.float16
    assert stored["num_batches_tracked"].dtype == torch.int64


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are no weights at .*model\.pt; train"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "model.pt")


def test_no_weights(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"no weights")
    with pytest.raises(InputError, match="is not a file of weights"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(2)])
def test_something_else_than_weights(tmp_path, content) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(InputError, match="is not a file of weights"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "model.pt")


@pytest.mark.parametrize("content", [{"weight": torch.zeros(3, 3)}, {"weight": 1}])
def test_of_another_network(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(InputError, match="are of another network") as caught:
        load_weights(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    assert "\n" not in str(caught.value)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Dangerous:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "made"),))

    torch.save(Dangerous(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="is not a file of weights"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "model.pt")
    assert not (tmp_path / "made").exists()

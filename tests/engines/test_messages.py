"""A wrong input ends a run with its one sentence; a bug keeps its traceback."""

from __future__ import annotations

import sys

import pytest
import torch

from dermaseg_monai.engines import bfloat16_is_fast, print_input_errors
from dermaseg_monai.errors import InputError


@pytest.fixture
def hook(monkeypatch):
    usual: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: usual.append(error))
    print_input_errors()
    return usual


def test_one_sentence(hook, capsys) -> None:
    error = RuntimeError("Failed to evaluate")
    error.__cause__ = InputError("the folder is empty; fill it.")
    sys.excepthook(RuntimeError, error, None)
    assert capsys.readouterr().err == "error: the folder is empty; fill it.\n"
    assert hook == []


def test_a_bug_is_left_to_the_usual_hook(hook, capsys) -> None:
    bug = KeyError("a bug")
    sys.excepthook(KeyError, bug, None)
    assert hook == [bug]
    assert capsys.readouterr().err == ""


def test_where_bfloat16_is_fast() -> None:
    assert isinstance(bfloat16_is_fast("cpu"), bool)
    assert bfloat16_is_fast(torch.device("cpu")) == bfloat16_is_fast("cpu")
    assert bfloat16_is_fast("meta") is False

"""A wrong input ends a run with its one sentence; a bug keeps its traceback."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from dermaseg_monai.bundle.command_line import exit_on_left_out, install_error_messages
from dermaseg_monai.utils.errors import InputError


@pytest.fixture
def hook(monkeypatch):
    usual: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: usual.append(error))
    install_error_messages()
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


def test_a_full_disk_and_ctrl_c(hook, capsys) -> None:
    sys.excepthook(OSError, OSError(28, "No space left on device", "out.csv"), None)
    assert capsys.readouterr().err.startswith("error: out.csv cannot be read or written (No space left")
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "stopped; what was finished is kept.\n"
    assert hook == []


def test_photos_left_out_give_an_exit_code_of_their_own(monkeypatch) -> None:
    loader = SimpleNamespace(failures=[{"id": "a"}])
    exit_on_left_out(loader)  # not under MONAI's command line
    monkeypatch.setattr(sys, "argv", ["/site/monai/bundle/__main__.py", "run"])
    exit_on_left_out(SimpleNamespace(failures=[]))
    with pytest.raises(SystemExit) as left:
        exit_on_left_out(loader)
    assert left.value.code == 3

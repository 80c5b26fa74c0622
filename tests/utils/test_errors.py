"""The user's error is found behind whatever was raised from it."""

from __future__ import annotations

import errno

import pytest

from dermaseg_monai.utils.errors import InputError, explained, find_input_error


def raised(action) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError


def test_found_through_causes_and_contexts() -> None:
    inner = InputError("the photo is upside down; turn it.")

    def cause() -> None:
        try:
            raise inner
        except InputError as error:
            raise RuntimeError("applying transform") from error

    def context() -> None:
        try:
            cause()
        except RuntimeError:
            raise KeyError("while handling")  # noqa: B904

    assert find_input_error(inner) is inner
    assert find_input_error(raised(cause)) is inner
    assert find_input_error(raised(context)) is inner


def test_not_found_where_there_is_none_or_it_was_hidden() -> None:
    def hidden() -> None:
        try:
            raise InputError("dealt with.")
        except InputError:
            raise RuntimeError("another matter") from None

    assert find_input_error(None) is None
    assert find_input_error(ValueError("a bug")) is None
    assert find_input_error(raised(hidden)) is None


def test_it_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("the photo is upside down; turn it."), "the photo is upside down; turn it."),
        (
            OSError(errno.ENOSPC, "No space left on device", "/out/a.png"),
            "/out/a.png cannot be read or written (No space left on device); make room or give permission there, "
            "or choose another folder.",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            "a file cannot be written (Read-only file system); make room or give permission there, or choose "
            "another folder.",
        ),
        (
            RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
            "there is no such device on this machine (Found no NVIDIA driver on your system); give another --device, "
            "such as cpu.",
        ),
        (
            RuntimeError("CUDA error: invalid device ordinal\nGPU device may be out of range"),
            "there is no such device on this machine (CUDA error: invalid device ordinal); give another --device, "
            "such as cpu.",
        ),
        (
            AssertionError("Torch not compiled with CUDA enabled"),
            "there is no such device on this machine (Torch not compiled with CUDA enabled); give another --device, "
            "such as cpu.",
        ),
        (
            NotImplementedError("Cannot copy out of meta tensor; no data!"),
            "there is no such device on this machine (Cannot copy out of meta tensor; no data!); give another "
            "--device, such as cpu.",
        ),
        (ModuleNotFoundError("No module named 'pandas'"), None),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), None),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a"), None),
        (ValueError("a bug"), None),
    ],
)
def test_what_ends_a_command(error, sentence) -> None:
    def wrapped() -> None:
        raise RuntimeError("applying transform") from error

    assert explained(error) == sentence
    assert explained(raised(wrapped)) == sentence

"""Default device of a run, and the half precision that the device computes in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dermaseg_monai.utils.flags import is_on

_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def default_device() -> torch.device:
    """The first NVIDIA GPU, else an Apple GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda:0")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def mixed_precision(device: torch.device | str) -> str | None:
    """The half precision that a device computes in hardware, and so faster than float32.

    Args:
        device: need not be on this machine, unless it is an NVIDIA GPU.

    Returns:
        "bfloat16" for NVIDIA GPUs of compute capability 8 or higher (Ampere) and CPUs with AVX-512 BF16 or AMX;
        "float16" for NVIDIA GPUs of compute capability 7 (Volta, Turing: T4) and Apple's; None for all others,
        which would emulate it.
    """
    device = torch.device(device)
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return "bfloat16" if capability >= (8, 0) else "float16" if capability >= (7, 0) else None
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return "bfloat16" if fast else None
    return "float16" if device.type == "mps" else None


def half_dtype(amp: object, device: torch.device | str) -> torch.dtype | None:
    """Read the setting ``amp``.

    Args:
        amp: "bfloat16" or "float16"; on or off (:func:`is_on`), where on means what :func:`mixed_precision`
            says, or else bfloat16; None for off; or what this function gave.
        device: where to compute.

    Returns:
        The type for autocast; None: float32 throughout.

    Raises:
        InputError: ``amp`` is none of these.
    """
    if isinstance(amp, torch.dtype):
        return amp
    if isinstance(amp, str) and amp in _HALVES:
        return _HALVES[amp]
    return _HALVES[mixed_precision(device) or "bfloat16"] if is_on(amp) else None


def autocast(device: torch.device | str, amp: object) -> torch.autocast:
    """PyTorch's autocast, or none of it, as the setting ``amp`` says; see :func:`half_dtype`."""
    dtype = half_dtype(amp, device)
    # without a type PyTorch looks one up, which fails on devices that have none
    return torch.autocast(torch.device(device).type, dtype or torch.bfloat16, enabled=dtype is not None)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Multiply float32 as float32 on NVIDIA GPUs too, which else round factors to the ten bits of TF32.

    Reference: https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before

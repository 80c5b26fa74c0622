"""Where bfloat16 arithmetic pays."""

from __future__ import annotations

import torch


def bfloat16_is_fast(device: torch.device | str) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices in hardware.

    True for NVIDIA GPUs of compute capability 8 or higher (Ampere) and for CPUs with AVX-512 BF16 or AMX;
    elsewhere bfloat16 is emulated and slower than float32.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False

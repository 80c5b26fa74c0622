"""Memory that a training step frees, kept for the next one."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of <malloc.h>


def keep_freed_memory() -> None:
    """From now on what this process frees stays its own, where the C library is glibc; elsewhere nothing happens.

    A step on the CPU allocates and frees each layer's maps. As glibc comes, blocks of such a size go back to the
    system at once, which has to clear their pages anew in every step. On CUDA devices PyTorch itself keeps them.

    Reference: mallopt(3), M_MMAP_MAX and M_TRIM_THRESHOLD
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)

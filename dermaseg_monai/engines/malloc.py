"""Reuse of memory that a step or photo frees."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of <malloc.h>


def keep_freed_memory() -> None:
    """Keep for this process what it frees from now on, where the C library is glibc; elsewhere do nothing.

    A training step on the CPU allocates and frees each layer's maps, a large photo its maps and masks. As glibc comes,
    blocks of such a size go back to the system at once, which has to clear their pages anew every time. On CUDA devices
    PyTorch itself keeps them. Threads that start from now on share one heap: those of their own give back whatever
    they hold.

    Reference: mallopt(3), M_MMAP_MAX, M_TRIM_THRESHOLD and M_ARENA_MAX
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)
        libc.mallopt(_ARENA_MAX, 1)

"""Splitting of a batch when device memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from dermaseg_monai.utils.errors import InputError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SIGNS = ("can't allocate memory", "not enough memory", "ALLOC_FAILED", "MPS backend out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device's memory is full."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def in_parts(
    call: Callable[[int], Result], images: int, parts: int, most: int, advice: str
) -> tuple[Result, int]:
    """Do something with a batch in as many parts as the device's memory asks for.

    Args:
        call: takes the number of parts; it must be possible to call it again after it failed.
        images: images in the batch.
        parts: how many to begin with.
        most: how many there may be.
        advice: what to do where that is not enough, as the end of a sentence.

    Returns:
        What ``call`` gave, and the number of parts that fitted.

    Raises:
        InputError: the memory is too small even so.
    """
    while True:
        try:
            return call(parts), parts
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            at_once = -(-images // parts)
            if parts >= most:
                raise InputError(
                    f"the device has not enough memory for {at_once} images at once; {advice}."
                ) from error
        # only here has the traceback let go of what the failed pass had allocated
        parts = min(2 * parts, most)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning(
            "the device has not enough memory for %d images at once: going on with %d",
            at_once,
            -(-images // parts),
        )


def joined(parts: list[Any]) -> Any:
    """One batch out of several: tensors by their first axis, also within dictionaries and lists."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, torch.Tensor):
        return torch.cat(parts)
    if isinstance(first, Mapping):
        return {name: joined([part[name] for part in parts]) for name in first}
    return [joined(list(entries)) for entries in zip(*parts, strict=True)]

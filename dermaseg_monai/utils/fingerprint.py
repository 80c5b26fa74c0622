"""Objects reduced to plain data, so that two settings can be compared or hashed."""

from __future__ import annotations

import hashlib
import os
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch


def describe(value: Any) -> Any:
    """Reduce a value to JSON data: an object to its class and its attributes, however deep they nest.

    Args:
        value: a number, text, path, tensor (by its hash), function (by its name), list, dictionary or object.

    Returns:
        Data that is the same in every process where the value is.
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        array = np.asarray(value)
        return [str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, (os.PathLike, Enum)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [describe(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    return [name, describe(vars(value))] if hasattr(value, "__dict__") else name

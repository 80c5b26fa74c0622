"""Skin-lesion segmentation models for the ISIC 2018 data, as MONAI bundles."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dermaseg_monai.bundle.listing import list_bundles
    from dermaseg_monai.inference.load import load_bundle
    from dermaseg_monai.inference.predict import predict

_MODULES = {"list_bundles": "bundle.listing", "load_bundle": "inference.load", "predict": "inference.predict"}

__all__ = ["__version__", "list_bundles", "load_bundle", "predict"]


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for: PyTorch takes seconds, and a list of bundles needs none."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

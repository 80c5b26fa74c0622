"""A local web page: photos in, outlines and measurements out."""

from __future__ import annotations

from dermaseg_monai.app.server import run_app

__all__ = ["run_app"]

"""Synthetic dermoscopy: photos, lesion masks and attribute masks from a seed."""

from __future__ import annotations

from dermaseg_monai.datasets.phantoms.render import Phantom, render_phantom
from dermaseg_monai.datasets.phantoms.write import write_phantoms

__all__ = ["Phantom", "render_phantom", "write_phantoms"]

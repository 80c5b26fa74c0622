"""Inferers, extending MONAI's: averaging over flips, ensembles, restriction to the lesion."""

from __future__ import annotations

from dermaseg_monai.inferers.ensemble import Ensembled
from dermaseg_monai.inferers.flips import FlipInferer, MapInferer
from dermaseg_monai.inferers.within_lesion import WithinLesiond

__all__ = ["Ensembled", "FlipInferer", "MapInferer", "WithinLesiond"]

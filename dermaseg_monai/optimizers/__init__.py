"""Optimisers and schedules, beside PyTorch's and MONAI's."""

from __future__ import annotations

from dermaseg_monai.optimizers.fused_kernel import use_fused_kernel
from dermaseg_monai.optimizers.one_cycle import OneCycle
from dermaseg_monai.optimizers.parameter_groups import parameter_groups

__all__ = ["OneCycle", "parameter_groups", "use_fused_kernel"]

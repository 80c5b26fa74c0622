"""Network output to 0/1 masks, by output mode."""

from __future__ import annotations

import torch

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.modes import MODES as LOGIT_MODES
from dermaseg_monai.utils.modes import check_mode, foreground_logits, mode_channels
from dermaseg_monai.utils.tensors import plain

MODES = (*LOGIT_MODES, "mask")
"""The output modes ``prediction_masks`` knows."""


def prediction_masks(prediction: torch.Tensor, mode: str) -> torch.Tensor:
    """Turn a network's output into masks at probability one half.

    Args:
        prediction: ``(B, C, H, W)`` or ``(C, H, W)``. By ``mode``:

            - ``"binary"``: logits, ``C = 1``; foreground where the logit is above 0 (sigmoid above 0.5).
            - ``"two_class"``: logits, ``C = 2``; foreground where channel 1 is above channel 0.
            - ``"multilabel"``: logits, any ``C``; each channel as in ``"binary"``.
            - ``"mask"``: masks already; returned as they are.
        mode: one of ``MODES``.

    Returns:
        bool masks with one channel (``"binary"``, ``"two_class"``) or ``C`` channels; a tie is background.

    Raises:
        InputError: the mode is unknown or the channels do not fit it.

    Example:
        >>> prediction_masks(torch.tensor([[[[2.0, -1.0]]]]), "binary")
        tensor([[[[ True, False]]]])
    """
    check_mode(mode, MODES)
    if mode == "mask":
        return prediction
    channels = prediction.shape[-3] if prediction.ndim >= 3 else 0
    expected = mode_channels(mode)
    if channels == 0 or (expected is not None and channels != expected):
        raise InputError(
            f"prediction has shape {tuple(prediction.shape)}; mode '{mode}' takes "
            f"{expected or 'one or more'} channel(s) in (B, C, H, W)."
        )
    return foreground_logits(plain(prediction.detach()), mode) > 0

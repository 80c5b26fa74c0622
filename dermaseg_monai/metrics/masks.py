"""Network output to 0/1 masks, by output mode."""

from __future__ import annotations

import torch

from dermaseg_monai.utils.errors import InputError

MODES = ("binary", "two_class", "multilabel", "mask")
"""The output modes `prediction_masks` knows."""

_CHANNELS = {"binary": 1, "two_class": 2}


def prediction_masks(prediction: torch.Tensor, mode: str) -> torch.Tensor:
    """Turn a network's output into masks at probability one half.

    Args:
        prediction: ``(B, C, H, W)`` or ``(C, H, W)``. By ``mode``:

            - ``"binary"``: logits, ``C = 1``; foreground where the logit is above 0 (sigmoid above 0.5).
            - ``"two_class"``: logits, ``C = 2``; foreground where channel 1 is above channel 0.
            - ``"multilabel"``: logits, any ``C``; each channel as in ``"binary"``.
            - ``"mask"``: masks already; returned as they are.
        mode: one of `MODES`.

    Returns:
        bool masks with one channel (``"binary"``, ``"two_class"``) or ``C`` channels; a tie is background.

    Raises:
        InputError: when the mode is unknown or the channels do not fit it.
    """
    check_mode(mode)
    if mode == "mask":
        return prediction
    channels = prediction.shape[-3] if prediction.ndim >= 3 else 0
    if channels == 0 or channels != _CHANNELS.get(mode, channels):
        raise InputError(
            f"Prediction has shape {tuple(prediction.shape)}; mode '{mode}' takes "
            f"{_CHANNELS.get(mode, 'one or more')} channel(s) in (B, C, H, W)."
        )
    prediction = prediction.detach().as_subclass(torch.Tensor)
    if mode == "two_class":
        return prediction[..., 1:, :, :] > prediction[..., :1, :, :]
    return prediction > 0


def check_mode(mode: str) -> None:
    """Raise `InputError` unless ``mode`` is one of `MODES`."""
    if mode not in MODES:
        raise InputError(f"Unknown mode '{mode}'; choose one of {', '.join(MODES)}.")

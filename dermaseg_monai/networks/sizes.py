"""Heights and widths that a network takes: padding before it, and cropping or resizing after it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from dermaseg_monai.utils.errors import InputError


def check_minimum_size(x: Tensor, minimum: int) -> None:
    """Refuse an image that a network would shrink to nothing.

    Args:
        x: images ``(B, C, H, W)``.
        minimum: smallest allowed height and width, pixels.

    Raises:
        InputError: the height or the width is below ``minimum``.
    """
    height, width = x.shape[-2], x.shape[-1]
    if height < minimum or width < minimum:
        raise InputError(
            f"the input is {height} x {width} pixels (height x width), but this network needs at least "
            f"{minimum} x {minimum}; resize the image first."
        )


def pad_to_multiple(x: Tensor, multiple: int, minimum: int | None = None) -> Tensor:
    """Extend an image at its right and bottom edge, by repeating the edge, to a multiple in height and width.

    Undo it on the logits with ``crop_to_input``. An image that fits already is returned as it is.

    Args:
        x: images ``(B, C, H, W)``.
        multiple: what the returned height and width are multiples of, pixels.
        minimum: smallest allowed height and width, pixels; ``multiple`` where it is not given.

    Returns:
        Images ``(B, C, H', W')`` with ``H <= H' < H + multiple`` and ``W <= W' < W + multiple``.

    Raises:
        InputError: the height or the width is below ``minimum``.
    """
    check_minimum_size(x, multiple if minimum is None else minimum)
    bottom = -x.shape[-2] % multiple
    right = -x.shape[-1] % multiple
    if bottom > 0 or right > 0:
        x = F.pad(x, [0, right, 0, bottom], mode="replicate")
    return x


def crop_to_input(logits: Tensor, x: Tensor) -> Tensor:
    """Cut logits of a padded image back to the height and width of the image before padding.

    Args:
        logits: ``(B, K, H', W')`` with ``H' >= H`` and ``W' >= W``.
        x: the images before padding, ``(B, C, H, W)``.

    Returns:
        Logits ``(B, K, H, W)``.
    """
    return logits[:, :, : x.shape[-2], : x.shape[-1]]


def resize_to_input(logits: Tensor, x: Tensor) -> Tensor:
    """Interpolate coarse logits bilinearly to the height and width of the image.

    Args:
        logits: ``(B, K, h, w)``.
        x: the images ``(B, C, H, W)``.

    Returns:
        Logits ``(B, K, H, W)``.
    """
    return F.interpolate(logits, size=[x.shape[-2], x.shape[-1]], mode="bilinear", align_corners=False)

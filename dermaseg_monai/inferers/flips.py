"""Test-time augmentation by mirrored views, and inference of all a network's maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer

from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.modes import check_mode

AXES = {"horizontal": (-1,), "vertical": (-2,), "both": (-2, -1)}
"""The mirrored views by name, and the axes each of them flips."""

_SMALLEST = 1e-7  # probability that keeps logits finite


class FlipInferer(Inferer):
    """Inferer that averages a network's predictions over mirrored views of the image.

    The image itself always counts as one view; all views of a batch pass through the network together.
    Probabilities are averaged (softmax over two classes, sigmoid otherwise) and returned as logits, so that
    whatever follows need not know.

    Args:
        flips: further views: any of "horizontal", "vertical" and "both"; none gives the network's own logits.
        mode: "binary", "two_class" or "multilabel".

    Raises:
        InputError: a view or the mode is unknown.

    Example:
        >>> network = torch.nn.Conv2d(3, 1, 1)
        >>> FlipInferer(["horizontal", "vertical"])(torch.zeros(2, 3, 8, 8), network).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(self, flips: Sequence[str] = (), mode: str = "binary") -> None:
        super().__init__()
        unknown = set(flips) - set(AXES)
        if unknown:
            raise InputError(f"flips has {sorted(unknown)}; the views to choose from are {', '.join(AXES)}.")
        check_mode(mode)
        self.axes = [AXES[name] for name in flips]
        self.mode = mode

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Predict.

        Args:
            inputs: normalised images ``(B, 3, H, W)``.
            network: gives logits ``(B, C, H, W)``.
            *args: passed to the network.
            **kwargs: passed to the network.

        Returns:
            Logits ``(B, C, H, W)``.
        """
        if not self.axes:
            return network(inputs, *args, **kwargs)
        views = torch.cat([inputs, *(inputs.flip(axes) for axes in self.axes)])
        first, *others = network(views, *args, **kwargs).float().chunk(len(self.axes) + 1)
        logits = torch.stack(
            [first, *(view.flip(axes) for view, axes in zip(others, self.axes, strict=True))]
        )
        # means of log-probabilities would not be probabilities: average first, take the logarithm after
        if self.mode == "two_class":
            return logits.softmax(dim=2).mean(dim=0).clamp_min(_SMALLEST).log()
        return torch.logit(logits.sigmoid().mean(dim=0), eps=_SMALLEST)


class MapInferer(Inferer):
    """Inferer that asks a network for all its maps, by the method ``predict_maps``, and not for the logits alone.

    Example:
        >>> from dermaseg_monai.networks import BADeepLabV3
        >>> maps = MapInferer()(torch.zeros(1, 3, 64, 64), BADeepLabV3().eval())
        >>> sorted(maps)
        ['boundary', 'gate', 'logits', 'uncertainty']
    """

    def __call__(
        self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any
    ) -> dict[str, torch.Tensor]:
        """Predict normalised images ``(B, 3, H, W)``: ``logits`` and the network's further maps, by name."""
        return network.predict_maps(inputs, *args, **kwargs)

"""A prompt, and its way between a photo and a network's input.

All coordinates are measured from the top left corner of the first pixel, as in
:mod:`dermaseg_monai.transforms.geometry`: a pixel's centre lies at a half, and a box that holds the pixels of
columns 3 to 5 reaches from 3 to 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import MetaTensor

from dermaseg_monai.transforms.geometry import Geometry, geometry_of
from dermaseg_monai.utils.errors import InputError

Box = tuple[float, float, float, float]
Point = tuple[float, float]

KINDS = ("box", "points", "box_and_points")
"""What a prompt is made of."""


@dataclass(frozen=True)
class Prompt:
    """A box, points, or both, which point a network to one lesion.

    Attributes:
        box: (left, top, right, bottom) in pixels, or None.
        points: (x, y) of each point in pixels.
        labels: 1 for each point on the lesion, 0 for each beside it.

    Raises:
        InputError: there is neither box nor point, or points and labels differ in number.
    """

    box: Box | None = None
    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.box is None and not self.points:
            raise InputError("a prompt has neither a box nor a point; give at least one of them.")
        if len(self.points) != len(self.labels):
            raise InputError(
                f"a prompt has {len(self.points)} points and {len(self.labels)} labels; give one label per point."
            )

    def to_input(self, geometry: Geometry) -> Prompt:
        """Bring the prompt from the photo to the network's input that ``geometry`` describes."""
        box = None
        if self.box is not None:
            left, top, right, bottom = self.box
            top, left, bottom, right = geometry.from_photo((top, left, bottom, right))
            box = (left, top, right, bottom)
        corners = (geometry.from_photo((y, x, y, x)) for x, y in self.points)
        return Prompt(box, tuple((left, top) for top, left, _, _ in corners), self.labels)


def full_frame(size: tuple[int, int]) -> Prompt:
    """The box around a whole image of ``size`` (height, width)."""
    return Prompt((0.0, 0.0, float(size[1]), float(size[0])))


def attach_prompts(image: MetaTensor, prompts: Iterable[Prompt]) -> None:
    """Keep a photo's prompts, in pixels of the photo, in the ``meta`` of its tensor (C, H, W)."""
    image.meta["prompts"] = list(prompts)


def input_prompts(image: Any) -> list[Prompt]:
    """The prompts that travel with an image, in pixels of that image.

    Args:
        image: tensor (C, H, W) or a batch of one, (1, C, H, W); without prompts of its own, the box around all
            of it is its prompt.

    Returns:
        One prompt for each lesion.
    """
    prompts = image.meta.get("prompts") if isinstance(image, MetaTensor) else None
    if not prompts:
        return [full_frame((int(image.shape[-2]), int(image.shape[-1])))]
    geometry = geometry_of(image)
    return [prompt.to_input(geometry) for prompt in prompts]


def stacked(
    prompts: list[Prompt], device: torch.device | str
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Prompts of one kind and number of points as tensors.

    Args:
        prompts: B prompts; all or none have a box, and all have k points.
        device: where the tensors are needed.

    Returns:
        Boxes ``(B, 4)``, points ``(B, k, 2)`` and labels ``(B, k)``, float32; None for what there is none of.
    """
    boxes = points = labels = None
    if prompts[0].box is not None:
        boxes = torch.tensor([prompt.box for prompt in prompts], dtype=torch.float32, device=device)
    if prompts[0].points:
        points = torch.tensor([prompt.points for prompt in prompts], dtype=torch.float32, device=device)
        labels = torch.tensor([prompt.labels for prompt in prompts], dtype=torch.float32, device=device)
    return boxes, points, labels

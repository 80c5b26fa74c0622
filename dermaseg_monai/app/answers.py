"""Answers of the interface: masks, maps and measurements of one photo as plain values and encoded pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermaseg_monai.app.models import MAX_PIXELS, Model, Prediction
from dermaseg_monai.app.turns import Turns
from dermaseg_monai.image_files import open_photo
from dermaseg_monai.metrics.lesion_shape import measure_lesion
from dermaseg_monai.transforms import encode_heatmap, encode_mask

PREVIEW_SIDE = 1600
"""Longest side of a preview in pixels."""


@dataclass(frozen=True)
class Options:
    """Options of a request about a photo.

    Attributes:
        lesion: the bundle that outlines the lesion.
        attributes: the bundle that finds dermoscopic attributes, if one is wanted.
        uncertainty: whether a map of it is wanted.
        bounds: whether the masks within the inner and the outer outline are wanted.
        preview: whether a JPEG of the photo is wanted, for formats that browsers do not show.
        pixels_per_mm: the photo's scale, where it is known.
    """

    lesion: Model
    attributes: Model | None = None
    uncertainty: bool = False
    bounds: bool = False
    preview: bool = False
    pixels_per_mm: float | None = None


async def answer(photo: Path, name: str, options: Options, turns: Turns) -> dict[str, Any]:
    """Segment and measure a photo.

    Args:
        photo: the file.
        name: what its sender calls it.
        options: what is asked.
        turns: the queue before the processor.

    Returns:
        Values for JSON; pictures are ``bytes``: PNG masks of 0 and 255, a PNG heat map, a JPEG preview.

    Raises:
        InputError: the photo cannot be read, or has too many pixels.
    """
    lesion = await options.lesion.segment(photo, turns, options.uncertainty, options.bounds)
    found = None if options.attributes is None else await options.attributes.segment(photo, turns)

    def describe() -> dict[str, Any]:
        result = {"name": name, **_lesion(lesion(), options), "attributes": None}
        if options.attributes is not None and found is not None:
            result["attributes"] = _attributes(found(), options.attributes.attributes)
        if options.preview:
            result["preview"] = _preview(photo)
        return result

    return await turns.run(describe)


def _lesion(prediction: Prediction, options: Options) -> dict[str, Any]:
    mask, bounds = prediction.masks[0], None
    measured = measurements(mask, options.pixels_per_mm)
    if prediction.outlines is not None:
        inner, outer = (encode_mask(one) for one in prediction.outlines)
        bounds = {"inner": inner, "outer": outer}
    return {
        "width": mask.shape[1],
        "height": mask.shape[0],
        "bundle": options.lesion.name,
        "mask": encode_mask(mask),
        "confidence": prediction.confidence[0] if measured["area_px"] else None,
        "measurements": measured,
        "uncertainty": _uncertainty(prediction),
        "bounds": bounds,
        "unlikeness": prediction.unlikeness,
    }


def _attributes(prediction: Prediction, names: Sequence[str]) -> dict[str, Any]:
    return {
        name: {"mask": encode_mask(mask), "area_share": float((mask != 0).mean())}
        for name, mask in zip(names, prediction.masks, strict=True)
    }


def measurements(mask: np.ndarray, pixels_per_mm: float | None = None) -> dict[str, Any]:
    """The measurements of a mask ``(H, W)``, in mm as well where the scale is known."""
    measured = measure_lesion(mask)
    in_mm = {
        "diameter_mm": measured.diameter_mm(pixels_per_mm) if pixels_per_mm else None,
        "area_mm2": measured.area_mm2(pixels_per_mm) if pixels_per_mm else None,
    }
    return asdict(measured) | in_mm


def _uncertainty(prediction: Prediction) -> dict[str, Any] | None:
    heat = prediction.uncertainty
    if heat is None:
        return None
    lesion = prediction.masks[0] != 0
    levels = heat.numpy()[0]
    return {"map": encode_heatmap(heat), "mean": float(levels[lesion].mean()) if lesion.any() else None}


def _preview(photo: Path) -> bytes:
    image = Image.fromarray(open_photo(photo, reduce_to=PREVIEW_SIDE, max_pixels=MAX_PIXELS).pixels)
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    jpeg = io.BytesIO()
    image.save(jpeg, format="JPEG", quality=90)
    return jpeg.getvalue()

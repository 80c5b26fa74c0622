"""Schemas of the interface: answers, and the fields of the forms that are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from dermaseg_monai.app.limits import MAX_PHOTOS


class Measured(BaseModel):
    """Size and shape of a lesion; None for what an empty mask does not have."""

    area_share: float
    area_px: int
    asymmetry: float | None
    border_irregularity: float | None
    diameter_px: float | None
    touches_edge: bool
    diameter_mm: float | None
    area_mm2: float | None


class Attribute(BaseModel):
    """A dermoscopic attribute: its mask, a PNG of 0 and 255, and its share of the photo."""

    mask: str
    area_share: float


class Uncertainty(BaseModel):
    """Where the mask is unsure: a PNG of 255 x the map, and the mean over the lesion."""

    map: str
    mean: float | None


class Bounds(BaseModel):
    """Masks, PNG of 0 and 255, within the inner and the outer outline, between which the border lies."""

    inner: str
    outer: str


class Segmented(BaseModel):
    """A photo's answer. Pictures are base64, or names of the parts that hold them."""

    name: str
    width: int
    height: int
    bundle: str
    mask: str = Field(description="PNG of 0 and 255, of the photo's own size")
    confidence: float | None
    measurements: Measured
    uncertainty: Uncertainty | None
    bounds: Bounds | None
    unlikeness: float | None = Field(
        description="how unlike the training photos the photo is; above 1, do not rely on the mask"
    )
    attributes: dict[str, Attribute] | None
    preview: str | None = Field(None, description="JPEG of the photo, where it was asked for")


class Refused(BaseModel):
    """A photo that was left out, and why."""

    name: str
    error: str


class Answers(BaseModel):
    """One entry for each photo, in their order."""

    photos: list[Segmented | Refused]


class Refined(BaseModel):
    """A mask after clicks."""

    mask: str
    measurements: Measured


_FILE = {"type": "string", "format": "binary"}
_SCALE = {"type": "number", "description": "pixels per mm of the photo; sizes are then given in mm as well"}
SEGMENT: Mapping[str, Any] = {
    "photos": {
        "type": "array",
        "items": _FILE,
        "maxItems": MAX_PHOTOS,
        "description": "jpg, png, tif, bmp, gif, webp or dcm",
    },
    "bundle": {"type": "string", "description": "which bundle outlines the lesion"},
    "attributes": {
        "type": "string",
        "description": "which bundle finds dermoscopic attributes; none by default",
    },
    "uncertainty": {"type": "boolean", "description": "whether to map where the mask is unsure"},
    "bounds": {
        "type": "boolean",
        "description": "whether to send back the masks within the inner and the outer outline",
    },
    "preview": {"type": "boolean", "description": "whether to send back a JPEG of each photo"},
    "pixels_per_mm": _SCALE,
}
"""The fields of a form for ``/api/segment``."""

REFINE: Mapping[str, Any] = {
    "photo": _FILE,
    "points": {
        "type": "string",
        "description": "JSON [[x, y, label], ...] in pixels of the photo; label 1 on the lesion, 0 beside it",
    },
    "box": {"type": "string", "description": "JSON [left, top, right, bottom] in pixels of the photo"},
    "mask": {**_FILE, "description": "PNG of the mask so far, at the photo's size"},
    "pixels_per_mm": _SCALE,
}
"""The fields of a form for ``/api/refine``."""


def form_schema(fields: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAPI's description of a form whose first field is needed."""
    schema = {"type": "object", "properties": dict(fields), "required": [next(iter(fields))]}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}

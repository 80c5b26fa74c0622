"""HTTP interface for the page and for other programs."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field
from starlette.datastructures import FormData, UploadFile

from dermaseg_monai import __version__
from dermaseg_monai.app.answers import Options, answer, measurements, without_pictures
from dermaseg_monai.app.guard import Guard, limited
from dermaseg_monai.app.limits import MAX_PHOTO_BYTES, MAX_PHOTOS, Limits
from dermaseg_monai.app.metrics import Metrics
from dermaseg_monai.app.models import MAX_PIXELS, Model
from dermaseg_monai.app.turns import Turns
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.inference.measurements import checked_scale
from dermaseg_monai.sam import Prompt
from dermaseg_monai.transforms import encode_mask
from dermaseg_monai.utils.errors import InputError, OutputError, find_input_error, refusal
from dermaseg_monai.utils.flags import SWITCH_WORDS

Result = TypeVar("Result")


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


def build_api(models: Sequence[Model], turns: Turns, limits: Limits, metrics: Metrics) -> APIRouter:
    """The routes below ``/api``, and ``/metrics``.

    Args:
        models: the bundles to choose from; the first for lesions is the default.
        turns: the queue before the processor.
        limits: what one visitor may ask.
        metrics: takes the counts.
    """
    guard = Guard(limits)
    by_name = {model.name: model for model in models}
    default = next(model.name for model in models if model.task == "lesion")
    promptable = next((model for model in models if model.task == "prompt"), None)
    router = APIRouter(dependencies=[Depends(HTTPBearer(auto_error=False))] if limits.token else [])
    checks = [Depends(guard.check_origin), Depends(guard.check_token), Depends(guard.check_rate)]

    def chosen(form: FormData, field: str, task: str) -> Model | None:
        name = _text(form, field)
        if not name:
            return None
        if name not in by_name or by_name[name].task != task:
            known = ", ".join(model.name for model in models if model.task == task) or "none"
            raise InputError(f"{field} is '{name}'; the bundles to choose from are {known}.")
        return by_name[name]

    @router.get("/api/health")
    async def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok", "version": __version__}

    @router.get("/api/bundles", dependencies=checks[:2])
    async def bundles() -> dict[str, Any]:
        """The bundles to choose from, the limits, and whether clicks can refine a mask."""
        return {
            "default": default,
            "refine": promptable is not None,
            "limits": {"photos": MAX_PHOTOS, "bytes": MAX_PHOTO_BYTES, "pixels": MAX_PIXELS},
            "bundles": [
                {"name": model.name, "task": model.task, "uncertainty": model.has_uncertainty}
                for model in models
            ],
        }

    @router.get("/metrics", dependencies=checks[:2], response_class=PlainTextResponse)
    async def prometheus() -> str:
        """Counts for Prometheus."""
        return metrics.text(turns.taken)

    @router.post(
        "/api/segment",
        dependencies=checks,
        responses={200: {"model": Answers}, 422: {"model": Answers}},
        openapi_extra={"requestBody": _form(_SEGMENT)},
    )
    async def segment(request: Request) -> Response:
        """Outline the lesion in photos and measure it.

        Pictures come as base64 within JSON, or, to a request with Accept: multipart/form-data, as parts. A photo
        that cannot be used has an error in place of its results; the status is 422 where that is so of all.
        """

        async def work(form: FormData, folder: Path) -> Response:
            options = Options(
                chosen(form, "bundle", "lesion") or by_name[default],
                chosen(form, "attributes", "attribute"),
                _flag(form, "uncertainty"),
                _flag(form, "bounds"),
                _flag(form, "preview"),
                _scale(form),
            )
            photos = await asyncio.gather(
                *(one_photo(upload, folder, options) for upload in _uploads(form, "photos"))
            )
            segmented = any("error" not in photo for photo in photos)
            return _response(request, {"photos": photos}, 200 if segmented else 422)

        return await served(request, work)

    async def one_photo(upload: UploadFile, folder: Path, options: Options) -> dict[str, Any]:
        name = upload.filename or "photo"

        def job() -> dict[str, Any]:
            path = _place(upload, folder)
            try:
                return answer(_saved(upload, path), name, options)
            except Exception as error:
                reason = find_input_error(error)
                if reason is None or refusal(error) is not None:
                    raise
                return {"name": name, "error": str(reason).replace(f"{path}: ", "")}
            finally:
                path.unlink(missing_ok=True)

        result = await turns.run(job)
        metrics.count_photo(options.lesion.name, "refused" if "error" in result else "segmented")
        return result

    @router.post(
        "/api/refine",
        dependencies=checks,
        responses={200: {"model": Refined}, 501: {"description": "no promptable bundle has weights here"}},
        openapi_extra={"requestBody": _form(_REFINE)},
    )
    async def refine(request: Request) -> Response:
        """Add what is clicked at to a mask, or take it away, by a promptable bundle.

        Points on the lesion segment what they point at, points beside it say where that ends. With a mask, the
        result is added to it; where all points lie beside the lesion, what they point at is taken from it.
        """
        if promptable is None:
            raise HTTPException(501, "no promptable bundle has weights on this server.")

        async def work(form: FormData, folder: Path) -> Response:
            (upload,) = _uploads(form, "photo")
            points, labels, box = _points(form)
            given = form.get("mask")

            def job() -> dict[str, Any]:
                mask = (
                    read_mask(_saved(given, _place(given, folder))) if isinstance(given, UploadFile) else None
                )
                removes = bool(labels) and not any(labels)
                # a part to remove is looked for like one to add
                asked = Prompt(box, points, (1,) * len(labels) if removes else labels)
                part = promptable.refine(_saved(upload, _place(upload, folder)), asked)
                if mask is None:
                    refined = np.zeros_like(part) if removes else part
                elif mask.shape != part.shape:
                    raise InputError("mask and photo differ in size; send the mask at the photo's own size.")
                else:
                    refined = mask & (1 - part) if removes else mask | part
                return {"mask": encode_mask(refined), "measurements": measurements(refined, _scale(form))}

            result = await turns.run(job)
            metrics.count_photo(promptable.name, "refined")
            return _response(request, result, 200)

        return await served(request, work)

    async def served(request: Request, work: Callable[[FormData, Path], Awaitable[Response]]) -> Response:
        """Read a request's form and work on it, within the limits; what it sent is deleted after that."""
        with turns.place(), tempfile.TemporaryDirectory(prefix="dermaseg-request-") as folder:
            reading = limited(request).form(max_files=MAX_PHOTOS + 1, max_fields=20)
            form = await _within(limits.seconds, reading, 408, "the request took too long to arrive")
            try:
                return await _within(
                    limits.seconds, work(form, Path(folder)), 504, "the answer took too long"
                )
            except (InputError, OutputError) as error:
                if isinstance(error, OutputError):
                    raise
                raise HTTPException(422, re.sub(rf"{re.escape(folder)}\S*: ", "", str(error))) from error
            finally:
                await form.close()

    return router


async def _within(seconds: float, work: Awaitable[Result], status: int, told: str) -> Result:
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError:
        raise HTTPException(status, f"{told}: the limit is {seconds:g} seconds.") from None


def _place(upload: UploadFile, folder: Path) -> Path:
    """A new name in a folder, with the upload's ending, by which DICOM is told."""
    return folder / (
        secrets.token_hex(8) + re.sub(r"[^.A-Za-z0-9]", "", Path(upload.filename or "").suffix)[:8]
    )


def _saved(upload: UploadFile, path: Path) -> Path:
    if (upload.size or 0) > MAX_PHOTO_BYTES:
        raise InputError(f"{path}: the file has more than {MAX_PHOTO_BYTES // 2**20} MB.")
    upload.file.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file, 2**20)
    return path


def _uploads(form: FormData, field: str) -> list[UploadFile]:
    files = [one for one in form.getlist(field) if isinstance(one, UploadFile)]
    most = MAX_PHOTOS if field == "photos" else 1
    if not 1 <= len(files) <= most:
        raise InputError(f"{field} has {len(files)} files; send 1{f' to {most}' if most > 1 else ''}.")
    return files


def _text(form: FormData, field: str) -> str:
    value = form.get(field, "")
    if not isinstance(value, str):
        raise InputError(f"{field} is a file; send a text.")
    return value.strip()


def _flag(form: FormData, field: str) -> bool:
    value = _text(form, field).lower() or "false"
    if value not in SWITCH_WORDS:
        raise InputError(f"{field} is '{value}'; send true or false.")
    return SWITCH_WORDS[value]


def _scale(form: FormData) -> float | None:
    value = _text(form, "pixels_per_mm")
    return checked_scale(value) if value else None


def _points(
    form: FormData,
) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...], tuple[float, float, float, float] | None]:
    try:
        points = [
            (float(x), float(y), bool(label)) for x, y, label in json.loads(_text(form, "points") or "[]")
        ]
        sides = [float(side) for side in json.loads(_text(form, "box") or "[]")]
    except (ValueError, TypeError) as error:
        raise InputError(
            "points are [[x, y, 1 or 0], ...] and a box is [left, top, right, bottom], in pixels of the photo."
        ) from error
    if len(sides) not in (0, 4):
        raise InputError(f"a box has {len(sides)} numbers; send [left, top, right, bottom].")
    box = (sides[0], sides[1], sides[2], sides[3]) if sides else None
    return tuple((x, y) for x, y, _ in points), tuple(int(label) for *_, label in points), box


def _response(request: Request, values: Mapping[str, Any], status: int) -> Response:
    if "multipart/form-data" not in request.headers.get("accept", ""):
        text = without_pictures(values, lambda picture: base64.b64encode(picture).decode())
        return JSONResponse(text, status)
    pictures: list[bytes] = []

    def part(picture: bytes) -> str:
        pictures.append(picture)
        return f"picture{len(pictures)}"

    boundary = secrets.token_hex(16)
    described = json.dumps(without_pictures(values, part)).encode()
    body = _part(boundary, "answer", "application/json", described)
    for number, picture in enumerate(pictures, start=1):
        kind = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
        body += _part(boundary, f"picture{number}", kind, picture)
    body += f"--{boundary}--\r\n".encode()
    return Response(body, status, media_type=f"multipart/form-data; boundary={boundary}")


def _part(boundary: str, name: str, kind: str, content: bytes) -> bytes:
    ending = {"image/png": ".png", "image/jpeg": ".jpg"}.get(kind)
    filename = f'; filename="{name}{ending}"' if ending else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + content + b"\r\n"


_FILE = {"type": "string", "format": "binary"}
_SCALE = {"type": "number", "description": "pixels per mm of the photo; sizes are then given in mm as well"}
_SEGMENT = {
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
_REFINE = {
    "photo": _FILE,
    "points": {
        "type": "string",
        "description": "JSON [[x, y, label], ...] in pixels of the photo; label 1 on the lesion, 0 beside it",
    },
    "box": {"type": "string", "description": "JSON [left, top, right, bottom] in pixels of the photo"},
    "mask": {**_FILE, "description": "PNG of the mask so far, at the photo's size"},
    "pixels_per_mm": _SCALE,
}


def _form(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a form whose first field is needed."""
    schema = {"type": "object", "properties": dict(fields), "required": [next(iter(fields))]}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}

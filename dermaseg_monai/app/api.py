"""Routes of the HTTP interface, for the page and for other programs."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer
from starlette.datastructures import FormData, UploadFile

from dermaseg_monai import __version__
from dermaseg_monai.app.answers import Options, answer, measurements
from dermaseg_monai.app.forms import new_path, read_files, read_flag, read_prompt, read_scale, read_text, save
from dermaseg_monai.app.guard import Guard, limited
from dermaseg_monai.app.limits import MAX_PHOTO_BYTES, MAX_PHOTOS, Limits
from dermaseg_monai.app.metrics import Metrics
from dermaseg_monai.app.models import MAX_PIXELS, Model
from dermaseg_monai.app.responses import respond
from dermaseg_monai.app.schemas import REFINE, SEGMENT, Answers, Refined, form_schema
from dermaseg_monai.app.turns import Turns
from dermaseg_monai.image_files import read_mask
from dermaseg_monai.sam import Prompt
from dermaseg_monai.transforms import encode_mask
from dermaseg_monai.utils.errors import InputError, OutputError, find_input_error, refusal

Result = TypeVar("Result")


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
        name = read_text(form, field)
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
        openapi_extra={"requestBody": form_schema(SEGMENT)},
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
                read_flag(form, "uncertainty"),
                read_flag(form, "bounds"),
                read_flag(form, "preview"),
                read_scale(form),
            )
            photos = await asyncio.gather(
                *(one_photo(upload, folder, options) for upload in read_files(form, "photos"))
            )
            segmented = any("error" not in photo for photo in photos)
            return respond(request, {"photos": photos}, 200 if segmented else 422)

        return await served(request, work)

    async def one_photo(upload: UploadFile, folder: Path, options: Options) -> dict[str, Any]:
        name, path = upload.filename or "photo", new_path(upload, folder)
        result: dict[str, Any]
        try:
            async with turns.photos:
                await turns.run(lambda: save(upload, path))
                result = await answer(path, name, options, turns)
        except Exception as error:
            reason = find_input_error(error)
            if reason is None or refusal(error) is not None:
                raise
            result = {"name": name, "error": str(reason).replace(f"{path}: ", "")}
        finally:
            path.unlink(missing_ok=True)
        metrics.count_photo(options.lesion.name, "refused" if "error" in result else "segmented")
        return result

    @router.post(
        "/api/refine",
        dependencies=checks,
        responses={200: {"model": Refined}, 501: {"description": "no promptable bundle has weights here"}},
        openapi_extra={"requestBody": form_schema(REFINE)},
    )
    async def refine(request: Request) -> Response:
        """Add what is clicked at to a mask, or take it away, by a promptable bundle.

        Points on the lesion segment what they point at, points beside it say where that ends. With a mask, the
        result is added to it; where all points lie beside the lesion, what they point at is taken from it.
        """
        if promptable is None:
            raise HTTPException(501, "no promptable bundle has weights on this server.")

        async def work(form: FormData, folder: Path) -> Response:
            (upload,) = read_files(form, "photo")
            points, labels, box = read_prompt(form)
            sent = form.get("mask")

            def job() -> dict[str, Any]:
                mask = read_mask(save(sent, new_path(sent, folder))) if isinstance(sent, UploadFile) else None
                removes = bool(labels) and not any(labels)
                # a part to remove is looked for like one to add
                asked = Prompt(box, points, (1,) * len(labels) if removes else labels)
                part = promptable.refine(save(upload, new_path(upload, folder)), asked)
                if mask is None:
                    refined = np.zeros_like(part) if removes else part
                elif mask.shape != part.shape:
                    raise InputError("mask and photo differ in size; send the mask at the photo's own size.")
                else:
                    refined = mask & (1 - part) if removes else mask | part
                return {"mask": encode_mask(refined), "measurements": measurements(refined, read_scale(form))}

            result = await turns.run(job)
            metrics.count_photo(promptable.name, "refined")
            return respond(request, result)

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


async def _within(seconds: float, work: Awaitable[Result], status: int, reason: str) -> Result:
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError:
        raise HTTPException(status, f"{reason}: the limit is {seconds:g} seconds.") from None

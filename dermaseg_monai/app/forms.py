"""Fields of a form that was sent, read and checked."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from pathlib import Path

from starlette.datastructures import FormData, UploadFile

from dermaseg_monai.app.limits import MAX_PHOTO_BYTES, MAX_PHOTOS
from dermaseg_monai.metrics.lesion_shape import checked_scale
from dermaseg_monai.sam.prompt import Box, Point
from dermaseg_monai.utils.errors import InputError
from dermaseg_monai.utils.flags import SWITCH_WORDS


def read_files(form: FormData, field: str) -> list[UploadFile]:
    """The files of a field: one, or up to ``MAX_PHOTOS`` of ``photos``.

    Raises:
        InputError: there are none, or more.
    """
    files = [one for one in form.getlist(field) if isinstance(one, UploadFile)]
    most = MAX_PHOTOS if field == "photos" else 1
    if not 1 <= len(files) <= most:
        raise InputError(f"{field} has {len(files)} files; send 1{f' to {most}' if most > 1 else ''}.")
    return files


def read_text(form: FormData, field: str) -> str:
    """The text of a field, without white space around it; empty where the field is missing.

    Raises:
        InputError: the field is a file.
    """
    value = form.get(field, "")
    if not isinstance(value, str):
        raise InputError(f"{field} is a file; send a text.")
    return value.strip()


def read_flag(form: FormData, field: str) -> bool:
    """Whether a field is on; off where it is missing.

    Raises:
        InputError: it is neither true nor false.
    """
    word = read_text(form, field).lower() or "false"
    if word not in SWITCH_WORDS:
        raise InputError(f"{field} is '{word}'; send true or false.")
    return SWITCH_WORDS[word]


def read_scale(form: FormData) -> float | None:
    """The field ``pixels_per_mm``; None where it is missing.

    Raises:
        InputError: it is no number above 0.
    """
    value = read_text(form, "pixels_per_mm")
    return checked_scale(value) if value else None


def read_prompt(form: FormData) -> tuple[tuple[Point, ...], tuple[int, ...], Box | None]:
    """The fields ``points`` and ``box``: points, their labels (1 on the lesion, 0 beside it), and the box if any.

    Raises:
        InputError: they are not of the form that :data:`dermaseg_monai.app.schemas.REFINE` describes.
    """
    try:
        points = [
            (float(x), float(y), bool(label)) for x, y, label in json.loads(read_text(form, "points") or "[]")
        ]
        sides = [float(side) for side in json.loads(read_text(form, "box") or "[]")]
    except (ValueError, TypeError) as error:
        raise InputError(
            "points are [[x, y, 1 or 0], ...] and a box is [left, top, right, bottom], in pixels of the photo."
        ) from error
    if len(sides) not in (0, 4):
        raise InputError(f"a box has {len(sides)} numbers; send [left, top, right, bottom].")
    box = (sides[0], sides[1], sides[2], sides[3]) if sides else None
    return tuple((x, y) for x, y, _ in points), tuple(int(label) for *_, label in points), box


def new_path(upload: UploadFile, folder: Path) -> Path:
    """A new name in a folder, with the upload's ending, by which DICOM files are known."""
    ending = re.sub(r"[^.A-Za-z0-9]", "", Path(upload.filename or "").suffix)[:8]
    return folder / (secrets.token_hex(8) + ending)


def save(upload: UploadFile, path: Path) -> Path:
    """Write an upload to ``path``, which is returned.

    Raises:
        InputError: the file is larger than ``MAX_PHOTO_BYTES``.
    """
    if (upload.size or 0) > MAX_PHOTO_BYTES:
        raise InputError(f"{path}: the file has more than {MAX_PHOTO_BYTES // 2**20} MB.")
    upload.file.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file, 2**20)
    return path
